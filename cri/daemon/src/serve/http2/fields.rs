//! The structure of a field block (HPACK, RFC 7541 section 6): enough of it to find the values of `:authority`.

/// Static table: `:authority`.
const AUTHORITY: u8 = 1;
/// The same as a text, as gRPC's C core writes it, and Huffman-coded.
const NAME: &[u8] = b":authority";
const CODED_NAME: &[u8] = b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f";

/// Where in a field block the next byte stands.
#[derive(Debug, Default)]
pub struct Fields {
    at: At,
}

#[derive(Debug, Default, Clone, Copy)]
enum At {
    /// At the first byte of a field.
    #[default]
    Field,
    /// In a number of several bytes, after which this text comes, or the next field.
    Number(Option<Text>),
    /// At the length of a text.
    Length(Text),
    /// In a length of several bytes.
    LongLength { text: Text, coded: bool, length: u64, shift: u32 },
    /// In a text, with so many bytes left.
    Bytes { text: Text, left: u64, code: Option<Code> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// So far it is the beginning of `:authority`.
    Name {
        fits: bool,
    },
    Authority,
    Value,
}

impl Fields {
    /// Passes over the next bytes, and changes what no authority of a URI has.
    pub fn mend(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.at = step(self.at, byte);
        }
    }
}

fn step(at: At, byte: &mut u8) -> At {
    let b = *byte;
    match at {
        At::Field if b & 0x80 != 0 => number(b & 0x7f, 0x7f, None),
        At::Field if b & 0xc0 == 0x40 => literal(b & 0x3f, 0x3f),
        At::Field if b & 0xe0 == 0x20 => number(b & 0x1f, 0x1f, None),
        At::Field => literal(b & 0x0f, 0x0f),
        At::Number(_) if b & 0x80 != 0 => at,
        At::Number(then) => then.map_or(At::Field, At::Length),
        At::Length(text) => match (b & 0x80 != 0, b & 0x7f) {
            (coded, 0x7f) => At::LongLength { text, coded, length: 0x7f, shift: 0 },
            (coded, length) => begin(text, coded, length.into()),
        },
        At::LongLength { text, coded, length, shift } => {
            // Lengths beyond any frame are refused by whoever reads this.
            let length = length.saturating_add(u64::from(b & 0x7f) << shift.min(56));
            match b & 0x80 != 0 {
                true => At::LongLength { text, coded, length, shift: shift + 7 },
                false => begin(text, coded, length),
            }
        }
        At::Bytes { mut text, left, mut code } => {
            match (&mut text, &mut code) {
                (Text::Authority, Some(code)) => code.mend(byte),
                (Text::Authority, None) => plain(byte),
                (Text::Name { fits }, code) => *fits &= fitting(code.is_some(), left, b),
                (Text::Value, _) => {}
            }
            match left - 1 {
                0 => after(text),
                left => At::Bytes { text, left, code },
            }
        }
    }
}

/// A number whose first byte has this, of at most `max`.
fn number(n: u8, max: u8, then: Option<Text>) -> At {
    if n == max { At::Number(then) } else { then.map_or(At::Field, At::Length) }
}

/// A field with a value of its own; its name by index, or a text as well.
fn literal(index: u8, max: u8) -> At {
    match index {
        0 => At::Length(Text::Name { fits: false }),
        AUTHORITY => At::Length(Text::Authority),
        _ => number(index, max, Some(Text::Value)),
    }
}

fn begin(text: Text, coded: bool, length: u64) -> At {
    let text = match text {
        Text::Name { .. } => Text::Name { fits: length == name(coded).len() as u64 },
        other => other,
    };
    match length {
        0 => after(text),
        left => At::Bytes { text, left, code: coded.then(Code::default) },
    }
}

fn after(text: Text) -> At {
    match text {
        Text::Name { fits: true } => At::Length(Text::Authority),
        Text::Name { fits: false } => At::Length(Text::Value),
        Text::Authority | Text::Value => At::Field,
    }
}

fn name(coded: bool) -> &'static [u8] {
    if coded { CODED_NAME } else { NAME }
}

/// Whether a byte is that of the name with so many bytes left.
fn fitting(coded: bool, left: u64, byte: u8) -> bool {
    let place = usize::try_from(left).ok().and_then(|left| name(coded).len().checked_sub(left));
    place.is_some_and(|place| name(coded).get(place) == Some(&byte))
}

fn plain(byte: &mut u8) {
    if !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_') {
        *byte = b'-';
    }
}

/// Within a Huffman-coded text (RFC 7541 appendix B): the bits of the current symbol.
#[derive(Debug, Default, Clone, Copy)]
struct Code {
    bits: u8,
    length: u8,
    /// A symbol with a longer code than those that are known here: the rest is left as it is.
    lost: bool,
}

impl Code {
    /// A symbol becomes its neighbour, whose code differs in one bit: space `-`, `%` `.`, `/` `3`, `=` `A`, `:` `B`.
    fn mend(&mut self, byte: &mut u8) {
        for place in (0..8).rev() {
            if self.lost {
                return;
            }
            self.bits = self.bits << 1 | *byte >> place & 1;
            self.length += 1;
            let change = matches!((self.length, self.bits), (5, 0b01010) | (6, 0b011000 | 0b100000) | (7, 0b1011100));
            if change {
                *byte |= 1 << place;
                self.bits |= 1;
            }
            let whole = match self.length {
                5 => self.bits < 0b01010,
                6 => self.bits < 0b101110,
                7 => self.bits < 0b1111100,
                8 => self.bits < 0b1111_1110,
                _ => false,
            };
            self.lost = self.length == 8 && !whole;
            if whole {
                (self.bits, self.length) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(block: &[u8]) -> Vec<u8> {
        let mut whole = block.to_vec();
        Fields::default().mend(&mut whole);
        let (mut fields, mut single) = (Fields::default(), block.to_vec());
        single.chunks_mut(1).for_each(|byte| fields.mend(byte));
        assert_eq!(whole, single, "it does not matter how the bytes come");
        whole
    }

    fn text(text: &str) -> Vec<u8> {
        [&[text.len() as u8], text.as_bytes()].concat()
    }

    #[test]
    fn a_path_becomes_a_name_and_everything_else_stays() {
        // Method and scheme by index, a name by text, a path by index, then the authority in each of the three forms.
        let before = [vec![0x83, 0x86, 0x40], text("%a%"), text("%b%"), vec![0x44], text("/x/%y")].concat();
        for form in [0x41, 0x01, 0x11] {
            let block = |authority: &str| [before.clone(), vec![form], text(authority), vec![0x84]].concat();
            assert_eq!(mended(&block("%2Frun%2Fx.sock")), block("-2Frun-2Fx.sock"));
            assert_eq!(mended(&block("/run/x.sock")), block("-run-x.sock"));
            assert_eq!(mended(&block("localhost")), block("localhost"));
        }
    }

    #[test]
    fn the_name_may_be_written_out_as_grpcs_c_core_does() {
        for name in [[&[10], NAME].concat(), [&[0x80 | CODED_NAME.len() as u8], CODED_NAME].concat()] {
            for form in [0x40, 0x00, 0x10] {
                let block =
                    |value: &str| [&[form][..], &name, &text(value), &[0x40], &text(":authoritx"), &text("%")].concat();
                assert_eq!(mended(&block("run%2Fx.sock")), block("run-2Fx.sock"));
            }
        }
    }

    #[test]
    fn a_long_authority_and_long_indexes_are_passed_over_rightly() {
        let long = "%".repeat(300);
        let block = |value: &str| {
            [
                &[0xff, 0x80, 0x01, 0x3f, 0x01, 0x7f, 0x80, 0x01][..],
                &text("%"),
                &[0x41, 0x7f, 0xad, 0x01],
                value.as_bytes(),
                &[0x82],
            ]
            .concat()
        };
        assert_eq!(mended(&block(&long)), block(&long.replace('%', "-")));
    }

    #[test]
    fn a_coded_authority_is_changed_without_its_length() {
        // RFC 7541 C.4.1: "www.example.com", and "/a%b:" by hand: 011000 00011 010101 100011 1011100, padded with ones.
        let valid = [0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(mended(&valid), valid);
        let coded = [0x41, 0x84, 0b0110_0000, 0b0110_1010, 0b1100_0111, 0b0111_0011, 0x84];
        // "3a.bB"
        let wanted = [0x41, 0x84, 0b0110_0100, 0b0110_1011, 0b1100_0111, 0b0111_0111, 0x84];
        assert_eq!(mended(&coded), wanted);
    }
}

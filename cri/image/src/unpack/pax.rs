//! PAX records: what a tar header has no room for.

use rustix::fs::Timespec;

/// Keys and values; both are bytes.
pub(crate) type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// `LENGTH KEY=VALUE\n`, where the length counts all of it.
pub(crate) fn parse(mut data: &[u8]) -> Option<Records> {
    let mut records = Vec::new();
    while !data.is_empty() && data[0] != 0 {
        let one = record(data)?;
        records.push((one.1.to_vec(), one.2.to_vec()));
        data = &data[one.0..];
    }
    Some(records)
}

fn record(data: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let space = data.iter().take(20).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let (newline, text) = data.get(space + 1..length)?.split_last()?;
    let equals = text.iter().position(|b| *b == b'=')?;
    (*newline == b'\n').then(|| (length, &text[..equals], &text[equals + 1..]))
}

/// `SECONDS[.FRACTION]`.
pub(crate) fn time(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (mut tv_sec, mut tv_nsec) = (seconds.parse::<i64>().ok()?, digits.parse::<u32>().ok().map(i64::from)?);
    if seconds.starts_with('-') && tv_nsec > 0 {
        (tv_sec, tv_nsec) = (tv_sec.checked_sub(1)?, 1_000_000_000 - tv_nsec);
    }
    Some(Timespec { tv_sec, tv_nsec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_is_malformed() {
        assert_eq!(parse(b"9 path=x\n").unwrap(), [(b"path".to_vec(), b"x".to_vec())]);
        for bad in [
            "11 path=x\n",
            "8 path=x\n",
            "path=x\n",
            "99 path=x\n",
            "9 path:x\n",
            "0 \n",
            "99999999999999999999999 a=b\n",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn times_have_fractions_and_may_lie_before_the_epoch() {
        let of = |text: &str| time(text.as_bytes()).map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(of("12.5"), Some((12, 500_000_000)));
        assert_eq!(of("12"), Some((12, 0)));
        assert_eq!(of("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(of("soon"), None);
    }
}

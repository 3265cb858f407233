//! The table as text: the kernel's chains, sets and counters. A chain's rules are kept in the kernel with their digest,
//! so the text of those that the compiler knows is the compiler's.

use std::fmt::{self, Write as _};

use cofferdam_netpolicy::backend::BackendError;
use cofferdam_netpolicy::ir::{Chain, Expr, Ruleset, SeenChain, Snapshot};

use crate::NftBackend;
use crate::read::{Counters, Reader};

impl NftBackend {
    /// What the kernel holds, one rule a line with its counter. `known`: the rules as they should be. Slow: a full
    /// dump.
    ///
    /// # Errors
    /// The kernel does not let it be read.
    pub fn show(&self, known: &Ruleset) -> Result<String, BackendError> {
        let table = self.table();
        let read = Reader::open().and_then(|mut reader| Ok((reader.snapshot(table)?, reader.counters(table)?)));
        let (snapshot, counters) =
            read.map_err(|source| BackendError::Io { step: format!("read table inet {table}"), source })?;
        Ok(render(&snapshot, &counters, known))
    }
}

fn render(snapshot: &Snapshot, counters: &Counters, known: &Ruleset) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, snapshot, counters, known);
    text
}

fn write(text: &mut String, snapshot: &Snapshot, counters: &Counters, known: &Ruleset) -> fmt::Result {
    let Some(table) = &snapshot.table else { return Ok(()) };
    writeln!(text, "table inet {table} {{")?;
    for (name, set) in &snapshot.sets {
        writeln!(text, "  {} {name} {set}", set.kind.word())?;
    }
    for (name, chain) in &snapshot.chains {
        let rules = known.chains.get(name).filter(|known| chain.digest == Some(known.digest()));
        write_chain(text, name, chain, rules.map(AsRef::as_ref), counters.get(name).map_or(&[], Vec::as_slice))?;
    }
    writeln!(text, "}}")
}

fn write_chain(
    text: &mut String,
    name: &str,
    chain: &SeenChain,
    rules: Option<&Chain>,
    counters: &[Option<(u64, u64)>],
) -> fmt::Result {
    writeln!(text, "  chain {name} {{")?;
    if let Some(base) = &chain.base {
        writeln!(text, "    {base}")?;
    }
    let Some(rules) = rules else {
        return writeln!(
            text,
            "    # {} rules that are being replaced or were changed by somebody else\n  }}",
            counters.len()
        );
    };
    for (index, rule) in rules.rules().iter().enumerate() {
        text.push_str("   ");
        for step in rule {
            match (step, counters.get(index)) {
                (Expr::Counter, Some(Some((packets, bytes)))) => {
                    write!(text, " counter packets {packets} bytes {bytes}")?
                }
                _ => write!(text, " {step}")?,
            }
        }
        text.push('\n');
    }
    writeln!(text, "  }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_somebody_changed_is_not_shown_as_it_should_be() {
        let mut known = Ruleset::new("t");
        known.chain("good", Chain::regular(vec![vec![Expr::Counter, Expr::drop()]]));
        known.chain("bad", Chain::regular(vec![vec![Expr::accept()]]));
        let mut snapshot = known.snapshot();
        if let Some(chain) = snapshot.chains.get_mut("bad") {
            chain.digest = None;
        }
        let text = render(&snapshot, &[("good".to_owned(), vec![Some((3, 180))])].into(), &known);
        assert!(text.contains("counter packets 3 bytes 180 drop") && !text.contains("accept"), "{text}");
        assert!(text.contains("changed by somebody else"));
    }
}

//! Kubernetes quantities, as far as CPU and memory need them.

/// CPUs of a quantity like `2`, `0.5` or `500m`, in thousandths. `None`: not a CPU quantity.
pub fn parse_cpu(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    let value: f64 = text.parse().ok()?;
    let milli = (value * 1000.0).ceil();
    // Beyond 2^53 a float has no exact thousandths; no node has that many CPUs.
    (milli > 0.0 && milli < 1e15).then_some(milli as u64)
}

/// Bytes of a quantity like `256Mi`, `1Gi`, `500M` or `1000`. `None`: not a memory quantity.
pub fn parse_memory(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
    ];
    let (number, unit) =
        UNITS.iter().find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|n| (n, *unit))).unwrap_or((text, 1));
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let value: f64 = number.parse().ok()?;
    let bytes = (value * unit as f64).ceil();
    (0.0..9e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        assert_eq!(parse_cpu("1"), Some(1000));
        assert_eq!(parse_cpu("250m"), Some(250));
        assert_eq!(parse_cpu("0.5"), Some(500));
        assert_eq!(parse_cpu("-1"), None);
        assert_eq!(parse_memory("256Mi"), Some(256 << 20));
        assert_eq!(parse_memory("1.5Gi"), Some(3 << 29));
        assert_eq!(parse_memory("100M"), Some(100_000_000));
        assert_eq!(parse_memory("7"), Some(7));
        assert_eq!(parse_memory("lots"), None);
    }
}

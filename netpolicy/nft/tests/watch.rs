//! What other programs do to nftables is heard of: our table where nothing protects it, and chains that drop.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::{Arc, mpsc};

use cofferdam_netpolicy::backend::RuleBackend as _;
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy_nft::{NftBackend, watch};
use cofferdam_test_support::{eventually, needs};
use support::{Net, Probes as _, netns, no_udp_80};

#[needs(root)]
#[test]
fn a_flush_closes_pods_until_the_table_is_whole_again() {
    let net = Net::new();
    net.router.run(|| {
        let backend = Arc::new(NftBackend::open_unowned("t").unwrap());
        backend.apply(&diff(&backend.read().unwrap(), &no_udp_80())).unwrap();
        assert!(backend.degraded()[0].contains("without owner"));
        let (harmed, told) = mpsc::channel();
        let _watch = watch(backend.clone(), "v".into(), move || harmed.send(()).unwrap()).unwrap();
        // What was heard of so far was our own, and is no harm: the first that is told is the first of others.
        for change in [
            &["flush", "ruleset"][..],
            &["delete", "table", "inet", "t"],
            &["flush", "chain", "inet", "t", "forward"],
            &["add", "rule", "inet", "t", "forward", "accept"],
        ] {
            assert!(!net.a.udp("10.2.0.2:80") && net.a.udp("10.2.0.2:81"), "{change:?}: as it should be before");
            let gone = change[0] == "delete" || change[1] == "ruleset";
            net.router.nft(change).unwrap();
            told.recv().unwrap();
            if gone {
                assert!(!net.a.udp("10.2.0.2:81"), "{change:?}: open while the table is gone");
            }
            let batch = diff(&backend.read().unwrap(), &no_udp_80());
            assert!(!batch.is_empty(), "{change:?}");
            backend.apply(&batch).unwrap();
            assert_eq!(backend.read().unwrap(), no_udp_80().snapshot(), "{change:?}");
        }
    });
}

#[needs(root)]
#[test]
fn a_forward_chain_of_others_that_drops_is_told_while_it_is_there() {
    let ns = netns();
    ns.nft(&["add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"])
        .unwrap();
    ns.run(|| {
        let backend = Arc::new(NftBackend::open("t", None).unwrap());
        backend.apply(&diff(&backend.read().unwrap(), &no_udp_80())).unwrap();
        let _watch = watch(backend.clone(), "v".into(), || {}).unwrap();
        let tells = |what: &str| backend.degraded().iter().any(|text| text.contains(what));
        assert!(tells("table ip filter: chain FORWARD"));
        ns.nft(&["add chain ip filter FORWARD { policy accept; }"]).unwrap();
        eventually("no longer told", || !tells("FORWARD")).unwrap();
        ns.nft(&["add table inet fw; add chain inet fw guard { type filter hook forward priority 5; policy drop; }"])
            .unwrap();
        eventually("told", || tells("table inet fw: chain guard")).unwrap();
        ns.nft(&["delete table inet fw"]).unwrap();
        eventually("gone", || !tells("inet fw")).unwrap();
    });
}

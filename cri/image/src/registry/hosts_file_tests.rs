//! Every key of `hosts.toml`.

use super::*;

fn of(text: &str) -> Result<Vec<Endpoint>, ImageError> {
    parse(Path::new("/certs/r.example/hosts.toml"), text, "r.example")
}

fn bases(registry: &str, text: &str) -> Vec<(String, Option<String>)> {
    let found = parse(Path::new("/certs/x/hosts.toml"), text, registry).unwrap();
    found.into_iter().map(|e| (e.base, e.other)).collect()
}

#[test]
fn mirrors_come_first_as_written_and_the_registry_last() {
    let text = "server = \"https://r.example\"\n[host.\"http://z:5000\"]\ncapabilities = [\"pull\", \"Resolve\"]\n\
        [host.\"https://a\"]\ncapabilities = [\"pull\"]\n\
        [host.\"https://push\"]\ncapabilities = [\"push\", \"referrers\"]\n";
    let found = of(text).unwrap();
    let hosts: Vec<_> = found.iter().map(|e| (e.base.as_str(), e.resolve, e.own)).collect();
    let wanted =
        [("http://z:5000/v2", true, false), ("https://a/v2", false, false), ("https://r.example/v2", true, true)];
    assert_eq!(hosts, wanted);
}

#[test]
fn no_capabilities_are_all_of_them_and_those_of_the_server_count() {
    let found = of("capabilities = [\"pull\"]\n[host.\"https://a\"]\ncapabilities = []\n").unwrap();
    assert_eq!(found.iter().map(|e| e.resolve).collect::<Vec<_>>(), [true, false]);
    assert!(of("capabilities = [\"push\"]\n").unwrap().is_empty());
    assert!(of("capabilities = [\"pul\"]\n").unwrap_err().to_string().contains("pul"));
}

#[test]
fn a_path_is_kept_and_v2_follows_unless_overridden() {
    let text = "[host.\"http://m/a\"]\n[host.\"http://m/b/\"]\noverride_path = true\n\
        [host.\"http://m/v2/\"]\n[host.\"http://m/nv2\"]\n";
    let found = of(text).unwrap();
    let bases: Vec<_> = found.iter().map(|e| e.base.as_str()).collect();
    assert_eq!(bases[..4], ["http://m/a/v2", "http://m/b", "http://m/v2", "http://m/nv2/v2"]);
}

#[test]
fn a_plain_address_with_certificates_is_tried_with_them_first() {
    let both = |tail: &str| (format!("https://{tail}/v2"), Some(format!("http://{tail}/v2")));
    let one = |url: &str| (url.to_owned(), None);
    assert_eq!(bases("r", "[host.\"http://m:5000\"]\nca = \"x\"\n")[0], both("m:5000"));
    assert_eq!(bases("r", "[host.\"http://m:80\"]\nca = \"x\"\n")[0], one("http://m:80/v2"));
    assert_eq!(bases("r", "[host.\"http://m:5000\"]\n")[0], one("http://m:5000/v2"));
    assert_eq!(bases("localhost:5000", "ca = \"x\"\n")[0], both("localhost:5000"));
}

#[test]
fn certificates_of_every_form_are_found_beside_the_file() {
    let tls = |text: &str| of(text).unwrap()[0].tls.clone();
    let path = |name: &str| PathBuf::from(format!("/certs/r.example/{name}"));
    assert_eq!(tls("ca = \"ca.crt\"\n").ca, [path("ca.crt")]);
    assert_eq!(tls("ca = [\"a\", \"/b\"]\n").ca, [path("a"), "/b".into()]);
    assert_eq!(tls("client = \"both\"\n").client, [(path("both"), None)]);
    assert_eq!(tls("client = [\"a\", \"b\"]\n").client, [(path("a"), None), (path("b"), None)]);
    assert_eq!(tls("client = [[\"c\", \"k\"]]\n").client, [(path("c"), Some(path("k")))]);
    assert!(of("client = [[\"c\", \"k\", \"x\"]]\n").is_err());
    assert!(tls("skip_verify = true\n").skip_verify);
}

#[test]
fn headers_and_timeouts_are_read() {
    let found = of("dial_timeout = \"1m1.5s\"\n[header]\nx-a = \"1\"\nx-b = [\"2\", \"3\"]\n").unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(found[0].headers, [header("x-a", "1"), header("x-b", "2"), header("x-b", "3")]);
    assert_eq!(found[0].dial_timeout, Some(Duration::from_millis(61_500)));
    for bad in ["5", "s", "1x", "-1s", "0s", "1.2.3s"] {
        assert!(of(&format!("dial_timeout = \"{bad}\"\n")).is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    assert!(of("[host.\"http://m\"]\nskip_verfy = true\n").unwrap_err().to_string().contains("skip_verfy"));
    assert!(of("[host.\"ftp://m\"]\n").unwrap_err().to_string().contains("ftp"));
    assert!(of("server = 3").unwrap_err().to_string().contains("hosts.toml"));
}

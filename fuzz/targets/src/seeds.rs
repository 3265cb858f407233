//! Valid inputs, made by the code that writes such things.

use bytes::BytesMut;
use cofferdam_cri_api::v1 as cri;
use cofferdam_pod_api::{
    Body, ExitReport, Frame as PodFrame, HelloReply, Log, Response, STDOUT, StreamCredit, StreamData, encode,
    encode_gone, encode_reserved, opening,
};
use cofferdam_streaming::spdy::{Encoder, Frame, Headers};
use prost::Message as _;

/// Two cuts of a conversation.
pub(crate) fn pod_frames() -> Vec<Vec<u8>> {
    let frames: [PodFrame; 5] = [
        Body::HelloReply(HelloReply { version: 1, epoch: 7, error: String::new(), server: "agent".into() }).into(),
        Body::Response(Response { id: 3, outcome: None }).into(),
        Body::Log(Log {
            sequence: 1,
            container: "a".repeat(64),
            channel: STDOUT,
            data: b"a line\n".to_vec(),
            eof: true,
        })
        .into(),
        Body::StreamData(StreamData { stream: 1, channel: STDOUT, data: vec![b'x'; 100], eof: false }).into(),
        Body::StreamCredit(StreamCredit { stream: 1, channel: STDOUT, bytes: 1 << 20 }).into(),
    ];
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| encode(frame, &mut bytes));
    let piecewise = |first: u8| [&[first], bytes.as_slice()].concat();
    vec![piecewise(0), piecewise(7), piecewise(255), [&[9], opening(1).as_slice()].concat()]
}

/// A reserved slot, a torn one, the last word of a shim.
pub(crate) fn exit_records() -> Vec<Vec<u8>> {
    let reserved = encode_reserved(&"c".repeat(64), "/kubepods/pod1/c");
    let exited = br#"{"container":"c","cgroup":"/pod","code":137,"oom":true,"at":1700000000000000000}"#;
    vec![reserved.to_vec(), exited.to_vec(), [reserved.as_slice(), &encode_gone("QEMU died")].concat()]
}

/// What a client of exec sends.
pub(crate) fn spdy_frames() -> Vec<Vec<u8>> {
    let headers = Headers(vec![("streamtype".into(), "stdin".into()), ("port".into(), "80".into())]);
    let frames = [
        Frame::Settings(vec![(7, 65536)]),
        Frame::SynStream { id: 1, fin: false, unidirectional: false, headers: headers.clone() },
        Frame::SynReply { id: 1, fin: false, headers: Headers::default() },
        Frame::Data { id: 1, fin: true, data: b"hello".to_vec().into() },
        Frame::Headers { id: 1, fin: false, headers },
        Frame::WindowUpdate { id: 1, delta: 1000 },
        Frame::Ping(5),
        Frame::RstStream { id: 1, status: 5 },
        Frame::GoAway { last: 1, status: 0 },
    ];
    let mut bytes = BytesMut::new();
    let mut encoder = Encoder::default();
    frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
    [0u8, 12, 255].into_iter().map(|first| [&[first], &bytes[..]].concat()).collect()
}

/// Layers with all that a tar can hold, plain and compressed.
pub(crate) fn layers() -> Vec<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut entry = |path: &str, kind: tar::EntryType, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        let written = match kind {
            tar::EntryType::Link | tar::EntryType::Symlink => tar.append_link(&mut header, path, "etc/passwd"),
            _ => tar.append_data(&mut header, path, content),
        };
        debug_assert!(written.is_ok());
    };
    entry("etc/", tar::EntryType::Directory, b"");
    entry("etc/passwd", tar::EntryType::Regular, b"root:x:0:0:root:/root:/bin/sh\n");
    entry("bin/link", tar::EntryType::Symlink, b"");
    entry("bin/hard", tar::EntryType::Link, b"");
    entry("etc/.wh.shadow", tar::EntryType::Regular, b"");
    entry(&"long/".repeat(60), tar::EntryType::Directory, b"");
    entry("pax", tar::EntryType::XHeader, b"30 SCHILY.xattr.user.x=value\n\n18 mtime=1.250000\n");
    entry("run/fifo", tar::EntryType::Fifo, b"");
    entry("sparse", tar::EntryType::GNUSparse, b"");
    let plain = tar.into_inner().unwrap_or_default();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let compressed = std::io::Write::write_all(&mut gzip, &plain).and_then(|()| gzip.finish());
    vec![plain, compressed.unwrap_or_default()]
}

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

/// A manifest and an index, of both formats.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let descriptor = |kind: &str, letter| format!(r#"{{"mediaType":"{kind}","digest":"{}","size":7}}"#, digest(letter));
    let oci = "application/vnd.oci.image";
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{},{}]}}"#,
        descriptor(&format!("{oci}.config.v1+json"), 'a'),
        descriptor(&format!("{oci}.layer.v1.tar+gzip"), 'b'),
        descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", 'c'),
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}","size":9,
        "platform":{{"os":"linux","architecture":"amd64","variant":"v2"}},"annotations":{{"a":"b"}}}}]}}"#,
        digest('d'),
    );
    vec![manifest.into_bytes(), index.into_bytes()]
}

/// Configs; the first byte is the number of layers.
pub(crate) fn configs() -> Vec<Vec<u8>> {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z",
        "config":{{"User":"1000:0","Env":["PATH=/bin","A="],"Cmd":["sh"],"Entrypoint":null,"WorkingDir":"/w",
        "Volumes":{{"/data":{{}}}},"StopSignal":"SIGQUIT","ExposedPorts":{{"80/tcp":{{}}}},"Labels":{{"a":"b"}}}},
        "rootfs":{{"type":"layers","diff_ids":["{}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#,
        digest('e'),
    );
    vec![[&[1], config.as_bytes()].concat(), [&[0], config.as_bytes()].concat()]
}

/// Mirrors with everything that containerd's format knows.
pub(crate) fn hosts() -> Vec<Vec<u8>> {
    let text = r#"server = "https://registry.example"
ca = "ca.crt"
[host."http://mirror:5000"]
capabilities = ["pull", "resolve"]
skip_verify = true
[host."https://other/path"]
capabilities = ["pull"]
override_path = true
ca = ["a.crt", "b.crt"]
[host."https://other/path".header]
x-team = ["one", "two"]
"#;
    vec![text.as_bytes().to_vec()]
}

/// One object of each kind that a directory takes.
pub(crate) fn cluster_objects() -> Vec<Vec<u8>> {
    let facts = include_str!("../seeds/facts.yaml");
    let policies = include_str!("../seeds/policies.yaml");
    vec![facts.into(), policies.into(), format!("{facts}---\n{policies}").into_bytes()]
}

/// Logs, an exit and answers of a guest, to one port or the other.
pub(crate) fn guest_messages() -> Vec<Vec<u8>> {
    let log = |sequence, data: &[u8]| {
        Body::Log(Log { sequence, container: "c".into(), channel: STDOUT, data: data.to_vec(), eof: false })
    };
    let exit = Body::ExitReport(ExitReport { sequence: 3, container: "c".into(), code: 7, oom: false });
    let of = |first: u8, bodies: &[Body]| {
        let mut bytes = vec![first];
        bodies.iter().for_each(|body| encode(&body.clone().into(), &mut bytes));
        bytes
    };
    vec![
        of(0, &[log(1, b"one line\nand a half"), log(2, b"\n"), exit]),
        of(0, &[Body::StreamCredit(StreamCredit { stream: 1, channel: STDOUT, bytes: 5 })]),
        of(255, &[crate::guest::answer_of_status(9)]),
    ]
}

/// A pod and a container with a value in most fields, the USER of an image and its accounts.
pub(crate) fn cri_configs() -> Vec<Vec<u8>> {
    let accounts = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nwheel:x:10:app\n";
    let (pod, container) = (pod_config().encode_to_vec(), container_config().encode_to_vec());
    let of =
        |user: &str| [pod.as_slice(), &container, user.as_bytes(), accounts.as_bytes()].join(crate::configs::BETWEEN);
    vec![of("app:wheel"), of("1000:4294967295"), of("")]
}

fn pod_config() -> cri::PodSandboxConfig {
    let namespaces = cri::NamespaceOption { pid: cri::NamespaceMode::Container.into(), ..Default::default() };
    let security = cri::LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: "web".into(),
            uid: "1".into(),
            namespace: "shop".into(),
            attempt: 0,
        }),
        hostname: "web".into(),
        log_directory: "/var/log/pods/web".into(),
        dns_config: Some(cri::DnsConfig {
            servers: vec!["10.96.0.10".into()],
            searches: vec!["shop.svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        }),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: "/kubepods/pod1".into(),
            security_context: Some(security),
            sysctls: [("net.ipv4.ping_group_range".to_owned(), "0 1".to_owned())].into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn container_config() -> cri::ContainerConfig {
    let security = cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability { add_capabilities: vec!["CHOWN".into()], ..Default::default() }),
        run_as_user: Some(cri::Int64Value { value: 1000 }),
        run_as_group: Some(cri::Int64Value { value: 1000 }),
        supplemental_groups: vec![7],
        readonly_rootfs: true,
        no_new_privs: true,
        masked_paths: vec!["/proc/kcore".into()],
        readonly_paths: vec!["/proc/sys".into()],
        ..Default::default()
    };
    let resources = cri::LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit_in_bytes: 64 << 20,
        oom_score_adj: 999,
        cpuset_cpus: "0-1".into(),
        ..Default::default()
    };
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: "main".into(), attempt: 1 }),
        command: vec!["/bin/sh".into()],
        args: vec!["-c".into(), "true".into()],
        working_dir: "/srv".into(),
        envs: vec![cri::KeyValue { key: "A".into(), value: "b".into() }],
        mounts: vec![cri::Mount {
            container_path: "/data".into(),
            host_path: "/var/lib/kubelet/pods/1/volumes/data".into(),
            readonly: true,
            ..Default::default()
        }],
        log_path: "main/0.log".into(),
        linux: Some(cri::LinuxContainerConfig { resources: Some(resources), security_context: Some(security) }),
        ..Default::default()
    }
}

use super::super::parse_pod;
use super::*;

fn pod(spec: &str) -> PodManifest {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: acme, labels: {{app: web}}}}\nspec:\n{spec}"
    );
    parse_pod("pod.yaml", 1, &text).unwrap_or_else(|e| panic!("{e}"))
}

fn placement(first_host_id: Option<u32>) -> Placement {
    Placement {
        uid: "u-1".into(),
        log_directory: "/logs/acme_web_u-1".into(),
        directory: "/kubelet/pods/u-1".into(),
        first_host_id,
        node_memory: 1 << 30,
    }
}

fn image() -> cri::Image {
    let uid = Some(cri::Int64Value { value: 33 });
    cri::Image { id: "sha256:abc".into(), uid, ..Default::default() }
}

const FULL: &str = "
  runtimeClassName: cofferdam-vm
  shareProcessNamespace: true
  securityContext: {runAsUser: 7, supplementalGroups: [8], sysctls: [{name: net.core.somaxconn, value: '9'}]}
  volumes: [{name: data, emptyDir: {}}, {name: host, hostPath: {path: /srv}}]
  containers:
  - name: c
    image: registry/i:1
    command: [run, $(A)]
    args: [$$(A), $(NONE)]
    env: [{name: A, value: x}, {name: B, value: $(A)y}]
    ports: [{name: http, containerPort: 80}]
    volumeMounts: [{name: data, mountPath: /data}, {name: host, mountPath: /srv, readOnly: true}]
    securityContext:
      runAsUser: 5
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {add: [NET_RAW], drop: [ALL]}
";

#[test]
fn a_container_has_everything_that_its_file_says() {
    let pod = pod(FULL);
    let config = container(&pod, &pod.spec.containers[0], &placement(None), &image());
    assert_eq!(config.command, ["run", "x"]);
    assert_eq!(config.args, ["$(A)", "$(NONE)"]);
    let env: Vec<_> = config.envs.iter().map(|e| (e.key.as_str(), e.value.as_slice())).collect();
    assert_eq!(env, [("A", b"x".as_slice()), ("B", b"xy")]);
    let mounts: Vec<_> =
        config.mounts.iter().map(|m| (m.host_path.as_str(), m.container_path.as_str(), m.readonly)).collect();
    let own = "/kubelet/pods/u-1/volumes/kubernetes.io~empty-dir/data";
    assert_eq!(mounts, [(own, "/data", false), ("/srv", "/srv", true)]);
    let security = config.linux.unwrap().security_context.unwrap();
    assert_eq!((security.run_as_user.unwrap().value, security.supplemental_groups.as_slice()), (5, [8].as_slice()));
    assert!(security.readonly_rootfs && security.no_new_privs);
    let capabilities = security.capabilities.unwrap();
    assert_eq!(
        (capabilities.add_capabilities, capabilities.drop_capabilities),
        (vec!["NET_RAW".into()], vec!["ALL".into()])
    );
    let seccomp = security.seccomp.unwrap();
    assert_eq!(seccomp.profile_type(), cri::security_profile::ProfileType::RuntimeDefault);
    assert_eq!(config.image.unwrap().user_specified_image, "registry/i:1");
}

#[test]
fn a_sandbox_has_labels_handler_and_named_ports_as_policy_reads_them() {
    let pod = pod(FULL);
    let config = sandbox(&pod, &placement(None));
    assert_eq!(handler(&pod), "vm");
    assert_eq!(config.labels["app"], "web");
    assert_eq!(config.labels["io.kubernetes.pod.uid"], "u-1");
    let ports: Vec<cofferdam_netpolicy::ContainerPort> = serde_json::from_str(&config.annotations[PORTS]).unwrap();
    assert_eq!((ports[0].name.as_str(), ports[0].container_port, ports[0].protocol.as_str()), ("http", 80, "TCP"));
    let linux = config.linux.unwrap();
    assert_eq!(linux.sysctls["net.core.somaxconn"], "9");
    let options = linux.security_context.unwrap().namespace_options.unwrap();
    assert_eq!((options.pid(), options.network()), (cri::NamespaceMode::Pod, cri::NamespaceMode::Pod));
    assert!(options.userns_options.is_none());
}

#[test]
fn a_user_namespace_maps_the_pod_and_its_volumes() {
    let pod = pod(&format!("  hostUsers: false{FULL}"));
    let at = placement(Some(131_072));
    let want = [cri::IdMapping { host_id: 131_072, container_id: 0, length: 65536 }];
    let options = sandbox(&pod, &at).linux.unwrap().security_context.unwrap().namespace_options.unwrap();
    assert_eq!(options.userns_options.unwrap().uids, want);
    let config = container(&pod, &pod.spec.containers[0], &at, &image());
    assert_eq!(config.mounts[0].uid_mappings, want);
}

#[test]
fn host_namespaces_are_the_nodes() {
    let pod = pod("  hostNetwork: true\n  hostPID: true\n  containers: [{name: c, image: i}]");
    let config = sandbox(&pod, &placement(None));
    let options = config.linux.unwrap().security_context.unwrap().namespace_options.unwrap();
    assert_eq!((options.network(), options.pid()), (cri::NamespaceMode::Node, cri::NamespaceMode::Node));
    assert_eq!((options.ipc(), config.hostname.as_str()), (cri::NamespaceMode::Pod, ""));
}

#[test]
fn comments_do_not_change_the_digest_and_values_do() {
    let one = pod("  containers: [{name: c, image: i}]");
    let same = pod("  # a comment\n  containers:\n  - image: i\n    name: c");
    let other = pod("  containers: [{name: c, image: j}]");
    assert_eq!(digest(&one), digest(&same));
    assert_ne!(digest(&one), digest(&other));
}

#[test]
fn a_group_without_a_user_goes_with_the_images_user() {
    let of = |security: &str| {
        let pod = pod(&format!("  containers: [{{name: c, image: i, securityContext: {{{security}}}}}]"));
        let config = container(&pod, &pod.spec.containers[0], &placement(None), &image());
        let security = config.linux.unwrap().security_context.unwrap();
        (security.run_as_user.map(|u| u.value), security.run_as_group.map(|g| g.value))
    };
    assert_eq!(of("runAsGroup: 4"), (Some(33), Some(4)));
    assert_eq!(of("runAsUser: 3, runAsGroup: 4"), (Some(3), Some(4)));
    assert_eq!(of(""), (None, None));
}

#[test]
fn run_as_non_root_is_checked_against_the_image() {
    let root = cri::Image { uid: Some(cri::Int64Value { value: 0 }), ..Default::default() };
    let named = cri::Image { username: "www".into(), ..Default::default() };
    let check = |security: &str, image: &cri::Image| {
        let pod = pod(&format!("  containers: [{{name: c, image: i, securityContext: {{{security}}}}}]"));
        super::super::security::would_be_root(&pod, &pod.spec.containers[0], image)
    };
    assert!(check("runAsNonRoot: true", &root).unwrap().contains("user is 0"));
    assert!(check("runAsNonRoot: true", &named).unwrap().contains("\"www\""));
    assert_eq!(check("runAsNonRoot: true", &image()), None);
    assert_eq!(check("runAsNonRoot: true, runAsUser: 9", &root), None);
    assert_eq!(check("", &root), None);
}

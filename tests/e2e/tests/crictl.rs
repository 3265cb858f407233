//! Every subcommand of crictl that people and scripts use, against both kinds of sandbox.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cofferdam_e2e::{Kind, Running, daemon, run, sleeper, web};
use cofferdam_test_support::{ContainerSpec, Crictl, Daemon, PodSpec, eventually, http_get, image, needs};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// A daemon with one pod whose container serves the web.
fn with_pod(name: &str, kind: Kind) -> Result<(Daemon, Running)> {
    let daemon = daemon(name, kind)?.start()?;
    let pod = PodSpec::new("default", "one").handler(kind.handler()).label("app", "web");
    let running = run(&daemon, pod, &web("main"))?;
    Ok((daemon, running))
}

/// A client that talks, ended with the test.
struct Talker(Child, String);

impl Talker {
    fn start(crictl: &Crictl, args: &[&str]) -> Result<Self> {
        let mut command = crictl.command(args)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Talker(command.spawn()?, String::new()))
    }

    fn lines(&mut self) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
        Ok(BufReader::new(self.0.stdout.take().context("stdout")?).lines())
    }
}

impl Talker {
    /// What it said on standard error, once it has ended.
    fn errors(&mut self) -> Result<&str> {
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut self.1)?;
        }
        Ok(&self.1)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ids<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list[key].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect()
}

/// version, info, pull, images, inspecti, rmi.
fn images(kind: Kind) -> Result<()> {
    let daemon = daemon("images", kind)?.start()?;
    let crictl = daemon.crictl();
    assert!(crictl.ok(&["version"])?.contains("RuntimeName:  cofferdam"));
    let info: Value = serde_json::from_str(&crictl.ok(&["info"])?)?;
    let handlers = info["runtimeHandlers"].as_array().context("runtimeHandlers")?;
    assert!(handlers.iter().any(|h| h["name"] == kind.handler()), "{info}");
    let id = crictl.pull(&image("busybox"))?;
    let images = crictl.json(&["images"])?;
    assert!(ids(&images, "images").contains(&id.as_str()), "{id} is not in {images}");
    let one = crictl.json(&["inspecti", &image("busybox")])?;
    assert_eq!(one["status"]["id"], id.as_str());
    let usage: Value = serde_json::from_str(&crictl.ok(&["imagefsinfo"])?)?;
    assert!(usage.to_string().contains("usedBytes"), "{usage}");
    crictl.ok(&["rmi", &id])?;
    assert!(!ids(&crictl.json(&["images"])?, "images").contains(&id.as_str()));
    Ok(())
}

/// runp, create, start, ps, pods, inspect, inspectp, stats, statsp, update, stop, rm, stopp, rmp; nothing is left.
fn life(kind: Kind) -> Result<()> {
    let daemon = daemon("life", kind)?.start()?;
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    let before = daemon.snapshot()?;
    let pod = PodSpec::new("default", "life").handler(kind.handler());
    let sandbox = crictl.run_pod(&pod)?;
    assert_eq!(ids(&crictl.json(&["pods"])?, "items"), [sandbox.as_str()]);
    assert_eq!(crictl.pod_state(&sandbox)?, "SANDBOX_READY");
    let facts = crictl.inspect_pod(&sandbox)?["cofferdam"].clone();
    assert_eq!((&facts["sandbox"], &facts["tenant"]), (&Value::from(kind.handler()), &Value::from("default")));
    let id = crictl.create(&sandbox, &sleeper("main"), &pod)?;
    assert_eq!(crictl.container_state(&id)?, "CONTAINER_CREATED");
    crictl.ok(&["start", &id])?;
    assert_eq!(crictl.container_state(&id)?, "CONTAINER_RUNNING");
    assert_eq!(ids(&crictl.json(&["ps"])?, "containers"), [id.as_str()]);
    stats(&crictl, &sandbox, &id)?;
    crictl.ok(&["update", "--memory", "67108864", &id])?;
    let limit = &crictl.inspect(&id)?["status"]["resources"]["linux"]["memoryLimitInBytes"];
    assert_eq!(limit.as_str(), Some("67108864"), "{limit}");
    crictl.ok(&["stop", "--timeout", "10", &id])?;
    let status = crictl.inspect(&id)?["status"].clone();
    assert_eq!((&status["state"], &status["exitCode"]), (&Value::from("CONTAINER_EXITED"), &Value::from(0)));
    assert_eq!(status["reason"], "Completed");
    crictl.ok(&["rm", &id])?;
    assert!(ids(&crictl.json(&["ps", "-a"])?, "containers").is_empty());
    crictl.ok(&["stopp", &sandbox])?;
    assert_eq!(crictl.pod_state(&sandbox)?, "SANDBOX_NOTREADY");
    crictl.ok(&["rmp", &sandbox])?;
    assert!(ids(&crictl.json(&["pods"])?, "items").is_empty());
    daemon.wait_clean(&before)
}

fn stats(crictl: &Crictl, sandbox: &str, container: &str) -> Result<()> {
    let of = |stats: &Value, key: &str| stats["stats"][0]["memory"][key]["value"].as_str().map(str::to_owned);
    let stats = crictl.json(&["stats", container])?;
    let used = of(&stats, "workingSetBytes").with_context(|| stats.to_string())?;
    assert!(used.parse::<u64>()? > 0, "{stats}");
    let pod = crictl.json(&["statsp", sandbox])?;
    assert!(pod.to_string().contains(container), "{pod}");
    Ok(())
}

/// exec -s; exec with and without -i and -t; attach.
fn exec(kind: Kind) -> Result<()> {
    let (daemon, pod) = with_pod("exec", kind)?;
    let crictl = daemon.crictl();
    assert_eq!(crictl.exec(&pod.container, &["echo", "hello"])?, "hello\n");
    let failed = crictl.try_exec(&pod.container, &["sh", "-c", "echo bad >&2; exit 7"])?;
    assert!(failed.code != 0 && failed.stderr.contains("bad") && failed.stderr.contains('7'), "{failed:?}");
    let slow = crictl.run(&["exec", "-s", "--timeout", "1", &pod.container, "sleep", "60"])?;
    assert!(slow.code != 0 && slow.stderr.contains("timed out"), "{slow:?}");
    assert_eq!(crictl.ok(&["exec", &pod.container, "sh", "-c", "echo out; echo err >&2"])?, "out\n");
    let code = crictl.run(&["exec", &pod.container, "sh", "-c", "exit 5"])?;
    assert!(code.code != 0 && code.stderr.contains('5'), "{code:?}");
    // The client tells the size only when the command runs already.
    // Of a terminal without a size busybox's stty says nothing, and succeeds.
    let script =
        "test -t 1 && until size=$(stty size 2>/dev/null) && test -n \"$size\"; do sleep 0.1; done; echo $size";
    let tty = on_a_terminal(&crictl, &["exec", "-i", "-t", &pod.container, "sh", "-c", script])?;
    assert!(tty.contains("40 100"), "not the size of the client's terminal: {tty:?}");
    let mut echo = Talker::start(&crictl, &["exec", "-i", &pod.container, "cat"])?;
    echo.0.stdin.take().context("stdin")?.write_all(b"through\n")?;
    let mut back = String::new();
    echo.0.stdout.take().context("stdout")?.read_to_string(&mut back)?;
    assert_eq!(back, "through\n");
    attach(&crictl, &pod)
}

/// What crictl shows on a terminal of 40 lines and 100 columns.
fn on_a_terminal(crictl: &Crictl, args: &[&str]) -> Result<String> {
    let command = crictl.command(args)?;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words.map(|w| format!("'{}'", w.to_string_lossy().replace('\'', "'\\''"))).collect();
    let line = format!("stty rows 40 cols 100; exec {}", quoted.join(" "));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn()?;
    // The end of its input would end the session.
    let _typing = child.stdin.take();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stdout)?)
}

fn attach(crictl: &Crictl, pod: &Running) -> Result<()> {
    let reader = ContainerSpec::new("reader", &image("busybox")).command(&["cat"]).with(|config| {
        config["stdin"] = Value::from(true);
        config["stdin_once"] = Value::from(true);
    });
    let id = crictl.run_container(&pod.sandbox, &reader, &pod.spec)?;
    let mut attached = Talker::start(crictl, &["attach", "-i", &id])?;
    let mut lines = attached.lines()?;
    let mut stdin = attached.0.stdin.take().context("stdin")?;
    stdin.write_all(b"one\n")?;
    assert_eq!(lines.next().context("no line came back")??, "one");
    drop(stdin);
    eventually("cat ends with its input", || Ok(crictl.container_state(&id)? == "CONTAINER_EXITED"))
}

/// logs, logs -f.
fn logs(kind: Kind) -> Result<()> {
    let (daemon, pod) = with_pod("logs", kind)?;
    let crictl = daemon.crictl();
    let script = "echo first; echo to-stderr >&2; while [ ! -e /go ]; do sleep 0.1; done; echo last; sleep 1000";
    let id = crictl.run_container(
        &pod.sandbox,
        &ContainerSpec::new("talker", &image("busybox")).shell(script),
        &pod.spec,
    )?;
    eventually("the first line is in the log", || Ok(crictl.ok(&["logs", &id])?.contains("first\n")))?;
    let mut follower = Talker::start(&crictl, &["logs", "-f", &id])?;
    let mut lines = follower.lines()?;
    assert_eq!(lines.next().context("no line")??, "first");
    crictl.exec(&id, &["touch", "/go"])?;
    let last = lines.map_while(Result::ok).find(|line| line == "last");
    assert_eq!(last.as_deref(), Some("last"));
    assert!(crictl.run(&["logs", &id])?.stderr.contains("to-stderr"));
    Ok(())
}

/// port-forward, two connections one after the other.
fn port_forward(kind: Kind) -> Result<()> {
    let (daemon, pod) = with_pod("forward", kind)?;
    // Not before the server listens: a refused connection ends the client.
    eventually("the server answers", || {
        Ok(daemon.crictl().try_exec(&pod.container, &["wget", "-q", "-O", "-", "http://127.0.0.1/"])?.code == 0)
    })?;
    let free = daemon.host().host.enter(|| Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?))?;
    let ports = format!("{}:80", free.port());
    let mut forward = Talker::start(&daemon.crictl(), &["port-forward", &pod.sandbox, &ports])?;
    for _ in 0..2 {
        eventually("an answer through the forwarded port", || {
            let ended = forward.0.try_wait()?;
            ensure!(ended.is_none(), "crictl port-forward ended: {ended:?}: {}", forward.errors()?);
            let answer = http_get(&daemon.host().host, free, "/", LIMIT)?;
            ensure!(!answer.is_empty(), "an empty answer");
            Ok(true)
        })?;
    }
    Ok(())
}

/// kill -9 of the daemon: pods go on, are known again with what ended meanwhile, and can be used and removed.
fn restart(kind: Kind) -> Result<()> {
    let mut daemon = daemon("restart", kind)?.start()?;
    let before = daemon.snapshot()?;
    let pod = run(&daemon, PodSpec::new("default", "stays").handler(kind.handler()), &sleeper("main"))?;
    let crictl = daemon.crictl();
    let volume = daemon.kubelet_dir().join(format!("pods/{}/volumes/kubernetes.io~empty-dir/signal", pod.spec.uid()));
    fs::create_dir_all(&volume)?;
    let short = ContainerSpec::new("short", &image("busybox"))
        .shell("until [ -e /signal/end ]; do sleep 0.1; done; exit 3")
        .with(|config| config["mounts"] = json!([{"container_path": "/signal", "host_path": volume}]));
    let short = crictl.run_container(&pod.sandbox, &short, &pod.spec)?;
    let ip = pod.ip(&daemon)?;
    daemon.kill9()?;
    fs::write(volume.join("end"), "")?;
    // What its shim writes down once it has ended, and the next daemon has to find out.
    let record = daemon.state().join("pods").join(&pod.sandbox).join("exits");
    let ended = format!("{short:?}");
    eventually("the short one ends without a daemon", || {
        let slots = fs::read(&record)?;
        Ok(String::from_utf8_lossy(&slots).lines().any(|slot| slot.contains(&ended) && slot.contains("\"code\":3")))
    })?;
    daemon.start()?;
    assert_eq!(crictl.container_state(&pod.container)?, "CONTAINER_RUNNING");
    eventually("the short one has ended", || Ok(crictl.container_state(&short)? == "CONTAINER_EXITED"))?;
    assert_eq!(crictl.inspect(&short)?["status"]["exitCode"], 3);
    assert_eq!(pod.ip(&daemon)?, ip);
    assert_eq!(crictl.exec(&pod.container, &["echo", "still here"])?, "still here\n");
    crictl.remove_pod(&pod.sandbox)?;
    daemon.wait_clean(&before)
}

macro_rules! both_kinds {
    ($($test:ident $namespace:ident $vm:ident),* $(,)?) => {$(
        #[needs(root)]
        #[test]
        fn $namespace() -> Result<()> {
            $test(Kind::Namespace)
        }

        #[needs(root)]
        #[test]
        fn $vm() -> Result<()> {
            $test(Kind::Vm)
        }
    )*};
}

both_kinds! {
    images namespace_images vm_images,
    life namespace_life vm_life,
    exec namespace_exec vm_exec,
    logs namespace_logs vm_logs,
    port_forward namespace_port_forward vm_port_forward,
    restart namespace_restart vm_restart,
}

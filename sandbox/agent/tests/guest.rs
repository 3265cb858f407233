//! The agent as the first process of a real kernel, under emulation. One boot serves several questions: it takes
//! seconds.

mod support;

use anyhow::{Result, bail, ensure};
use cofferdam_pod_api::{
    CONTROL_PORT, DATA_PORT, Delete, GetStats, NamespaceMode, Op, Outcome, PodError, Signal, Stop, Update,
};
use cofferdam_test_support::needs;
use serde_json::json;
use support::client::AgentClient;
use support::spec::{container, create, exec, root, run, setup};
use support::vm::Vm;

const CONTAINERS: [&str; 6] = ["view", "oom", "many", "long", "tree", "last"];

#[needs(root)]
#[test]
fn a_guest_is_set_up_runs_containers_and_powers_off() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let share = dir.path().join("share");
    CONTAINERS.iter().try_for_each(|id| root(&share, id))?;
    let mut vm = Vm::start(dir.path(), &[CONTROL_PORT, DATA_PORT], Some(&share))?;
    let mut link = AgentClient::open(&vm).map_err(|error| error.context(vm.console()))?;
    eprintln!("hello after {:?}", vm.started.elapsed());
    refuses_what_cannot_be(&mut link)?;
    link.done(AgentClient::setup(&setup(NamespaceMode::Container)?)?)?;
    eprintln!("ready after {:?}", vm.started.elapsed());
    shows_the_pod(&mut link)?;
    limits_hold(&mut link)?;
    kills_whole_trees(&mut link)?;
    run(&mut link, &container("last", "sleep 1000", json!({}))?)?;
    ensure!(matches!(link.done(Op::Stop(Stop {}))?, Outcome::Empty(_)));
    let status = vm.wait_off()?;
    ensure!(status.success() && !vm.console().contains("cofferdam-agent:"), "{status}: {}", vm.console());
    Ok(())
}

fn refuses_what_cannot_be(link: &mut AgentClient) -> Result<()> {
    let early = link.refused(create(&container("view", "true", json!({}))?)?)?;
    ensure!(matches!(early, PodError::State(_)), "{early:?}");
    let mut other = setup(NamespaceMode::Container)?;
    if let Some(link) = &mut other.link {
        link.mac = [2, 9, 9, 9, 9, 9];
    }
    let error = link.refused(AgentClient::setup(&other)?)?.to_string();
    ensure!(error.contains("02:09:09:09:09:09") && error.contains("02:00:00:00:00:07"), "{error}");
    let mut unseeded = setup(NamespaceMode::Container)?;
    unseeded.seed.clear();
    let error = link.refused(AgentClient::setup(&unseeded)?)?;
    ensure!(matches!(error, PodError::Invalid(_)), "{error:?}");
    Ok(())
}

fn shows_the_pod(link: &mut AgentClient) -> Result<()> {
    let script = "hostname; ip address show; ip route show; ip -6 route show; ip neigh show; df /dev/shm; cat /proc/self/cgroup; \
                  cat /proc/sys/net/ipv4/ip_unprivileged_port_start; date -u +%Y; echo pid $$; cat /proc/1/cmdline; ls /sys/fs/cgroup";
    run(link, &container("view", script, json!({}))?)?;
    let (exit, shown) = link.exit("view")?;
    ensure!(exit.code == 0 && !exit.oom, "{exit:?}: {shown}");
    let wanted = [
        "web-0",
        "mtu 1400",
        "10.88.0.9/32",
        "fd88::9/128",
        "default via 169.254.1.1 dev eth0",
        "default via fe80::1 dev eth0",
        "169.254.1.1 dev eth0 lladdr 02:00:00:00:00:01",
        "127.0.0.1",
        " 8192 ",
        "0::/\n",
        "\n80\n",
        "pid 1\n",
        "memory.max",
    ];
    for word in wanted {
        ensure!(shown.contains(word), "no {word:?} in {shown}");
    }
    let year = std::process::Command::new("date").args(["-u", "+%Y"]).output()?;
    ensure!(shown.contains(std::str::from_utf8(&year.stdout)?), "{shown}");
    link.done(Op::Delete(Delete { container: "view".into() }))?;
    Ok(())
}

fn limits_hold(link: &mut AgentClient) -> Result<()> {
    run(link, &container("oom", "tail /dev/zero", json!({"memory": {"limit": 16 << 20}}))?)?;
    let (exit, _) = link.exit("oom")?;
    ensure!(exit.code == 137 && exit.oom, "{exit:?}");

    let script = "i=0; while [ $i -lt 12 ]; do sleep 1000 & i=$((i+1)); done; echo made all";
    run(link, &container("many", script, json!({"pids": {"limit": 6}}))?)?;
    let (exit, shown) = link.exit("many")?;
    ensure!(exit.code != 0 && !exit.oom && shown.contains("fork"), "{exit:?}: {shown}");

    let resources = json!({"cpu": {"shares": 512, "quota": 50_000, "period": 100_000}, "memory": {"limit": 32 << 20}, "pids": {"limit": 9}});
    run(link, &container("long", "sleep 1000", resources)?)?;
    let files = "cd /sys/fs/cgroup; cat cpu.max memory.max pids.max cpu.weight";
    let (code, shown) = link.exec(&exec("long", files)?)?;
    ensure!(code == 0 && shown == "50000 100000\n33554432\n9\n20\n", "{code}: {shown}");
    let change =
        json!({"cpu": {"quota": 80_000, "period": 100_000}, "memory": {"limit": 48 << 20}, "pids": {"limit": 20}});
    let Outcome::Resources(applied) =
        link.done(Op::Update(Update { container: "long".into(), resources: serde_json::to_vec(&change)? }))?
    else {
        bail!("no resources")
    };
    let applied: serde_json::Value = serde_json::from_slice(&applied.resources)?;
    ensure!(applied["memory"]["limit"] == 48 << 20 && applied["cpu"]["quota"] == 80_000, "{applied}");
    ensure!(
        applied["pids"]["limit"] == 20 && applied["cpu"]["shares"].as_u64().is_some_and(|s| s.abs_diff(512) < 30),
        "{applied}"
    );
    let (_, shown) = link.exec(&exec("long", files)?)?;
    ensure!(shown == "80000 100000\n50331648\n20\n20\n", "{shown}");
    for whose in ["long", ""] {
        let Outcome::StatsReply(reply) = link.done(Op::Stats(GetStats { container: whose.into() }))? else {
            bail!("no stats")
        };
        let stats: serde_json::Value = serde_json::from_slice(&reply.stats)?;
        ensure!(stats["cpu_ns"].as_u64() > Some(0) && stats["memory_usage"].as_u64() > Some(0), "{whose}: {stats}");
        ensure!(stats["pids"].as_u64() >= Some(1), "{whose}: {stats}");
    }
    Ok(())
}

fn kills_whole_trees(link: &mut AgentClient) -> Result<()> {
    // Its children outlive it, in a session of their own: only their cgroup still holds them together.
    let script = "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &) ; (sleep 1000 &) ; exec sleep 1000";
    run(link, &container("tree", script, json!({}))?)?;
    link.done(Op::Signal(Signal { container: "tree".into(), signal: 9, all: true }))?;
    let (exit, _) = link.exit("tree")?;
    ensure!(exit.code == 137 && !exit.oom, "{exit:?}");
    link.done(Op::Signal(Signal { container: "long".into(), signal: 15, all: false }))?;
    link.done(Op::Signal(Signal { container: "long".into(), signal: 9, all: false }))?;
    ensure!(link.exit("long")?.0.code == 137);
    for id in ["oom", "many", "tree", "long"] {
        link.done(Op::Delete(Delete { container: id.into() }))?;
    }
    let Outcome::StatusList(list) = link.done(Op::List(cofferdam_pod_api::List {}))? else { bail!("no list") };
    ensure!(list.containers.is_empty(), "{list:?}");
    Ok(())
}

#[needs(root)]
#[test]
fn containers_share_a_pid_namespace_whose_init_reaps() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let share = dir.path().join("share");
    ["one", "two"].iter().try_for_each(|id| root(&share, id))?;
    let mut vm = Vm::start(dir.path(), &[CONTROL_PORT, DATA_PORT], Some(&share))?;
    let mut link = AgentClient::open(&vm).map_err(|error| error.context(vm.console()))?;
    link.done(AgentClient::setup(&setup(NamespaceMode::Pod)?)?)?;
    run(&mut link, &container("one", "sleep 1000", json!({}))?)?;
    // An orphan that ends at once must not stay as a zombie.
    let script = "(sh -c 'sleep 0 & exit' &); sleep 1; cat /proc/[0-9]*/stat; cat /proc/[0-9]*/cmdline";
    run(&mut link, &container("two", script, json!({}))?)?;
    let (_, shown) = link.exit("two")?;
    ensure!(shown.contains("sleep\u{0}1000") && !shown.contains(") Z "), "{shown}");
    link.done(Op::Stop(Stop {}))?;
    ensure!(vm.wait_off()?.success(), "{}", vm.console());
    Ok(())
}

#[needs(root)]
#[test]
fn an_agent_that_cannot_serve_says_why_and_turns_the_machine_off() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut vm = Vm::start(dir.path(), &[CONTROL_PORT], None)?;
    vm.wait_off()?;
    let console = vm.console();
    ensure!(
        console.contains("cofferdam-agent: find the virtio-serial ports: cofferdam.data did not appear"),
        "{console}"
    );
    Ok(())
}

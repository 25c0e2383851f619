//! What `alived events`, `explain` and `plan` tell of virtual servers, asked of a real daemon through its sockets.

use std::process::Command;

use serde_json::Value;

use crate::director::{
    BOTH, director, ipvsadm, judged, listen, real_server, table, virtual_server, wait_for_table,
};
use crate::host::{self, Host};

const VS: &str = "[192.0.2.100]:tcp:80";
const ONE: &str = "[127.0.0.1]:tcp:8001";
/// Its entry in the kernel's table.
const WEIGHS_TWO: &str = "-a -t 192.0.2.100:80 -r 127.0.0.1:8001 -m -w 2";
const TWO: &str = "[127.0.0.1]:tcp:8002";

/// What a subcommand prints, and its exit status.
fn alived(host: &Host, words: &[&str]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.args(words).arg("-r").arg(host.path("vrrp.pid"));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (text, output.status.code().unwrap())
}

/// Events without their numbers and times.
fn events(host: &Host, of: &str) -> Vec<Value> {
    let (text, status) = alived(host, &["events", of, "--json"]);
    assert_eq!(status, 0, "{text}");
    let event = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        for member in ["number", "at_unix_us"] {
            assert!(event.as_object_mut().unwrap().remove(member).is_some(), "{line}");
        }
        event
    };
    text.lines().map(event).collect()
}

/// Kinds of events with what became of whom, in their order.
fn told(host: &Host, of: &str) -> Vec<String> {
    let word = |event: &Value, member: &str| event[member].as_str().unwrap_or_default().to_owned();
    let line = |event: &Value| {
        let state = ["up", "serves"].into_iter().find_map(|member| event[member].as_bool());
        let state = state.map_or_else(|| word(event, "what"), |state| state.to_string());
        format!("{} {} {state}", word(event, "kind"), word(event, "real_server"))
    };
    events(host, of).iter().map(line).collect()
}

fn with_sorry_server() -> Host {
    let host = director();
    let reals = real_server(8001, "weight 2") + &real_server(8002, "");
    let servers = virtual_server(80, &format!("quorum 3\nsorry_server 127.0.0.1 9\n{reals}"));
    host.configure(&(host::instance("VI_1", 51, 100, "192.0.2.50/24") + &servers));
    host
}

#[test]
fn events_and_explanations_tell_of_virtual_servers() {
    judged(|| {
        let mut host = with_sorry_server();
        let (first, second) = (listen(&host, "127.0.0.1:8001"), listen(&host, "127.0.0.1:8002"));
        host.start(&[]);
        host.wait("the first results", |host| {
            let (text, _) = alived(host, &["status", VS]);
            text.matches("TCP_CHECK: ").count() == 2 && !text.contains("no result yet")
        });
        let (text, status) = alived(&host, &["explain", VS]);
        assert_eq!(status, 0, "{text}");
        for words in [
            &format!("{VS} serves by 2 of its 2 real servers.\n"),
            "The live weight is 3 ",
            "at least 3 keeps it (quorum 3)",
            &format!("{ONE} is in, weight 2.\n"),
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        drop(first);
        host.wait_for_lines("Lost quorum", 1);
        let (text, _) = alived(&host, &["explain", VS]);
        for words in [
            format!("{VS} serves by its sorry server [127.0.0.1]:tcp:9 alone.\n"),
            format!("{ONE} is out for "),
            format!("{TWO} is up, weight 1, and out, because the sorry server stands in for all.\n"),
            format!("{ONE} comes back when TCP_CHECK succeeds.\n"),
        ] {
            assert!(text.contains(&words), "{words}: {text}");
        }
        let (json, _) = alived(&host, &["explain", VS, "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["state"], &json["name"]), (&"SORRY".into(), &VS.into()));
        let _first = listen(&host, "127.0.0.1:8001");
        host.wait_for_lines("Gained quorum", 2);
        // Somebody takes an entry away; then one is drained.
        wait_for_table(&mut host, &[BOTH[0], BOTH[2], WEIGHS_TWO]);
        ipvsadm(&host, &["-d", "-t", "192.0.2.100:80", "-r", "127.0.0.1:8002"]);
        host.wait("the repair", |host| table(host).len() == 3 && host.log().contains("it is put right"));
        let (text, status) = alived(&host, &["drain", "127.0.0.1:8002"]);
        assert_eq!(status, 0, "{text}");
        let (text, _) = alived(&host, &["explain", VS]);
        assert!(text.contains(&format!("{TWO} is up: drained by command")), "{text}");
        assert!(text.contains(&format!("`alived restore {TWO}`")), "{text}");
        let all = told(&host, VS);
        let wanted = [
            format!("real-server {ONE} false"),
            "quorum  false".to_owned(),
            "sorry-server [127.0.0.1]:tcp:9 true".to_owned(),
            format!("real-server {ONE} true"),
            "quorum  true".to_owned(),
            "sorry-server [127.0.0.1]:tcp:9 false".to_owned(),
            "drift  ".to_owned(),
            format!("drain {TWO} drain-begun"),
            format!("drain {TWO} drain-ended"),
        ];
        let mut rest = all.iter();
        for line in &wanted {
            assert!(rest.any(|told| told == line), "{line} is missing, or too early: {all:#?}");
        }
        let of_one = events(&host, ONE);
        let down = of_one.iter().find(|event| event["up"] == false).unwrap();
        assert!(!down["cause"].as_str().unwrap().is_empty(), "{of_one:?}");
        // Both workers are asked; each of them is the other one's only after its own.
        let (text, _) = alived(&host, &["events"]);
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(
            at("BACKUP -> MASTER") < at("sorry server [127.0.0.1]:tcp:9 stands in: quorum lost"),
            "{text}"
        );
        let (text, _) = alived(&host, &["events", "-n", "1"]);
        assert!(text.lines().count() == 1 && text.contains("drained after"), "{text}");
        drop(second);
        let (text, status) = alived(&host, &["explain", "[192.0.2.9]:tcp:80"]);
        assert!(status == 1 && text.contains("VI_1") && text.contains(VS), "{text}");
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
    });
}

#[test]
fn a_plan_names_virtual_servers_real_servers_and_checks() {
    judged(|| {
        let mut host = with_sorry_server();
        let _servers = [listen(&host, "127.0.0.1:8001"), listen(&host, "127.0.0.1:8002")];
        host.start(&[]);
        let text = std::fs::read_to_string(host.path("keepalived.conf")).unwrap();
        let changed = text
            .replace("lvs_sched rr", "lvs_sched wrr")
            .replace("weight 2", "weight 5")
            .replace("8002", "8003");
        host.write("new.conf", &(changed + &virtual_server(81, &real_server(8001, ""))));
        let file = host.path("new.conf");
        wait_for_table(&mut host, &[BOTH[0], BOTH[2], WEIGHS_TWO]);
        let before = table(&host);
        let (text, status) = alived(&host, &["plan", file.to_str().unwrap()]);
        assert_eq!(status, 0, "{text}");
        let other = "[192.0.2.100]:tcp:81";
        for line in [
            format!("virtual_server {other} is new"),
            format!("virtual_server {VS}: lvs_sched rr -> wrr"),
            format!("real_server {ONE} of {other} is new"),
            format!("real_server [127.0.0.1]:tcp:8003 of {VS} is new"),
            format!("real_server {TWO} of {VS} is removed"),
            format!("real_server {ONE} of {VS}: weight 2 -> 5"),
            format!("TCP_CHECK [127.0.0.1]:tcp:8003 of {VS} is new"),
            format!("TCP_CHECK {TWO} of {VS} is removed"),
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
        let (json, _) = alived(&host, &["plan", file.to_str().unwrap(), "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        let of_one = json["objects"]
            .as_array()
            .unwrap()
            .iter()
            .find(|object| object["kind"] == "real_server" && object["change"] == "changed");
        assert_eq!(of_one.unwrap()["what"], serde_json::json!(["weight 2 -> 5"]), "{json}");
        assert_eq!(table(&host), before, "a plan does nothing");
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
    });
}

//! The web process: metrics, who is answered, and what its death costs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::host::{Host, instance};
use crate::http::{self, ADDRESS, exchange, get, judged_by, try_get, with_loopback};
use crate::skip;

const VIRTUAL: &str = "192.0.2.50/24";

/// A master with a script and its web process.
fn served() -> Option<Host> {
    let host = with_loopback(Host::new()?);
    let script = "vrrp_script chk {\n    script \"/bin/true\"\n    interval 1\n    weight 2\n}\n";
    let router = instance("VI_1", 51, 100, VIRTUAL)
        .replace("advert_int", "track_script {\n        chk\n    }\n    advert_int");
    host.configure(&format!("global_defs {{\n    script_user root\n}}\n{script}{router}"));
    Some(host)
}

fn start(host: &mut Host) {
    host.start(&["--http", ADDRESS]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.wait_for_lines("serving the status page at", 1);
}

fn metrics(host: &mut Host) -> String {
    let answer = get(host, "/metrics");
    assert_eq!(
        (answer.status, &*answer.headers["content-type"]),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    answer.body
}

/// The value of the sample that begins so.
fn sample(text: &str, begins: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(begins).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// The web process, by its name among the supervisor's children.
fn web_process(host: &Host) -> Option<u32> {
    let pid = host.supervisor();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut children = children.split_whitespace().filter_map(|word| word.parse().ok());
    children.find(|child: &u32| {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "alived-web\n")
    })
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has = found.is_ok_and(|status| status.success());
    if !has {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        skip::skip(&test, &format!("{program} is not installed (apt-get install prometheus)"));
    }
    has
}

#[test]
fn metrics_have_the_exporters_names_and_ours_and_promtool_finds_nothing() {
    let Some(mut host) = served() else { return };
    start(&mut host);
    let mut text = String::new();
    host.wait("a result of the script", |host| {
        text = metrics(host);
        sample(&text, "keepalived_script_status{name=\"chk\"}") == Some(1.0)
    });
    let router = "{iname=\"VI_1\",intf=\"lan0\",vrid=\"51\"";
    for (name, value) in [
        ("keepalived_up".to_owned(), 1.0),
        (format!("keepalived_vrrp_state{router},ip_address=\"{VIRTUAL}\"}}"), 2.0),
        (format!("keepalived_become_master_total{router}}}"), 1.0),
        (format!("keepalived_gratuitous_arp_delay_total{router}}}"), 5.0),
        ("alived_worker_up{worker=\"vrrp\"}".to_owned(), 1.0),
        (format!("alived_router_state{router},state=\"MASTER\"}}"), 1.0),
        (format!("alived_router_state{router},state=\"BACKUP\"}}"), 0.0),
        (format!("alived_router_effective_priority{router}}}"), 102.0),
        (format!("alived_transitions_total{router},to=\"MASTER\",cause=\"master-down\"}}"), 1.0),
        (format!("alived_two_masters_seconds_total{router}}}"), 0.0),
    ] {
        assert_eq!(sample(&text, &name), Some(value), "{name} in {text}");
    }
    for name in ["alived_announcements_total", "keepalived_advertisements_sent_total"] {
        assert!(sample(&text, &format!("{name}{router}}}")).unwrap() > 0.0, "{name} in {text}");
    }
    assert!(sample(&text, "alived_timer_lateness_seconds_count").unwrap() > 0.0, "{text}");
    assert!(!text.contains("worker=\"lvs\""), "there are no virtual servers: {text}");
    // A reload changes the hash and is told of.
    let hash = |text: &str| {
        text.lines().find(|line| line.starts_with("alived_configuration_info")).unwrap().to_owned()
    };
    let before = hash(&text);
    host.configure(&instance("VI_1", 51, 99, VIRTUAL));
    host.signal(libc::SIGHUP);
    host.wait("the reload in the metrics", |host| {
        text = metrics(host);
        sample(&text, "alived_last_reload_success{worker=\"vrrp\"}") == Some(1.0)
    });
    assert_ne!(hash(&text), before);
    if has("promtool") {
        let (content, said) = judged_by("promtool", &["check", "metrics"], &text);
        assert!(content && said.trim().is_empty(), "{said}");
    }
}

#[test]
fn only_what_is_asked_in_order_and_for_this_host_is_answered() {
    let Some(mut host) = served() else { return };
    host.write("alived.toml", &format!("[http]\naddress = \"{ADDRESS}\"\nhosts = [\"ha1.example.org\"]\n"));
    host.start(&[]);
    host.wait_for_lines("serving the status page at", 1);
    let ask = |line: &str, headers: &str| {
        exchange(&host, format!("{line}\r\n{headers}Connection: close\r\n\r\n").as_bytes()).unwrap()
    };
    let ours = "Host: localhost\r\n";
    for (line, headers, status) in [
        ("GET /metrics HTTP/1.1", ours, 200),
        ("GET /metrics HTTP/1.1", "Host: HA1.example.org:9165\r\n", 200),
        ("GET /metrics HTTP/1.0", "", 200),
        ("GET http://localhost/metrics HTTP/1.1", ours, 200),
        ("GET /healthz HTTP/1.1", ours, 200),
        ("GET /nothing HTTP/1.1", ours, 404),
        ("GET /metrics/../etc/passwd HTTP/1.1", ours, 404),
        ("POST /metrics HTTP/1.1", "Host: localhost\r\nContent-Length: 0\r\n", 405),
        ("DELETE / HTTP/1.1", ours, 405),
        ("GET /metrics HTTP/1.1", "Host: evil.example\r\n", 421),
        ("GET http://evil.example/metrics HTTP/1.1", ours, 421),
        ("GET /metrics HTTP/1.1", "", 400),
        ("GET /metrics HTTP/1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("GET /metrics HTTP/1.1", "Host: localhost\r\nContent-Length: 9\r\n", 400),
        ("nonsense", ours, 400),
    ] {
        let answer = ask(line, headers);
        assert_eq!(answer.status, status, "{line} {headers} {answer:?}");
    }
    let head = ask("HEAD /metrics HTTP/1.1", ours);
    assert!(head.status == 200 && head.body.is_empty() && head.headers["content-length"] != "0", "{head:?}");
    assert!(head.headers["content-security-policy"].contains("default-src 'none'"), "{head:?}");
    // Too much of everything.
    let long = format!("GET /{} HTTP/1.1\r\n{ours}\r\n", "x".repeat(100_000));
    if let Ok(answer) = exchange(&host, long.as_bytes()) {
        assert!([414, 431].contains(&answer.status), "{answer:?}");
    }
    let many = format!("GET /metrics HTTP/1.1\r\n{ours}{}\r\n", "a: b\r\n".repeat(200));
    if let Ok(answer) = exchange(&host, many.as_bytes()) {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    // Hundreds that say nothing or half of it leave room for others.
    let idle: Vec<_> = (0..300)
        .map(|number| {
            let mut stream = http::connect(&host).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /metrics HT").unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(try_get(&host, "/metrics").unwrap().status, 200);
    // And are closed after a while.
    let mut rest = Vec::new();
    (&idle[1]).read_to_end(&mut rest).unwrap();
}

#[test]
fn the_process_is_nobody_and_its_death_costs_the_routers_nothing() {
    let Some(mut host) = served() else { return };
    start(&mut host);
    let first = web_process(&host).unwrap();
    let status = fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(field("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(field("Gid:"), vec![nobody.gid.to_string(); 4]);
    assert_eq!(field("Groups:"), [nobody.gid.to_string()]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("CapPrm:"), ["0000000000000000"]);
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), (vec!["1".to_owned()], vec!["2".to_owned()]));
    let worker = host.worker();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first.try_into().unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    host.wait_for_lines("Web child process", 1);
    host.wait("the next web process", |host| web_process(host).is_some_and(|next| next != first));
    host.wait_for_lines("serving the status page at", 2);
    let text = metrics(&mut host);
    assert_eq!(sample(&text, "keepalived_up"), Some(1.0), "{text}");
    assert_eq!(host.worker(), worker);
    assert_eq!(host.log().matches("Entering").count(), 2, "no transition: {}", host.log());
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success(), "{}", host.log());
}

#[test]
fn a_dead_worker_costs_its_part_and_the_next_one_is_asked() {
    let Some(mut host) = served() else { return };
    start(&mut host);
    metrics(&mut host);
    // A worker that stands still is waited for a moment.
    let worker = host.worker();
    let signal = |signal| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker.try_into().unwrap()), signal).unwrap();
    };
    signal(nix::sys::signal::Signal::SIGSTOP);
    let mut text = String::new();
    host.wait("the silence to be noticed", |host| {
        text = metrics(host);
        sample(&text, "keepalived_up") == Some(0.0)
    });
    assert_eq!(sample(&text, "alived_worker_up{worker=\"vrrp\"}"), Some(0.0), "{text}");
    assert!(!text.contains("iname="), "{text}");
    signal(nix::sys::signal::Signal::SIGKILL);
    host.wait("the next worker", |host| {
        let text = try_get(host, "/metrics").map(|answer| answer.body).unwrap_or_default();
        sample(&text, "keepalived_up") == Some(1.0)
    });
    assert_ne!(host.worker(), worker);
}

#[test]
fn without_an_address_there_is_no_web_process() {
    let Some(mut host) = served() else { return };
    host.write("alived.toml", &format!("[http]\naddress = \"{ADDRESS}\"\n"));
    host.start(&["--http=off"]);
    assert_eq!(web_process(&host), None);
    assert!(http::connect(&host).is_err());
}

/// A Prometheus with this configuration in a host's namespace.
fn prometheus(host: &Host) -> Child {
    let configuration = "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: alived\n    static_configs:\n      \
                         - targets: ['127.0.0.1:9165']\n";
    host.write("prometheus.yml", configuration);
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", host.path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", host.path("tsdb").display()))
        .arg("--web.listen-address=127.0.0.1:9090")
        .stdout(Stdio::null())
        .stderr(fs::File::create(host.path("prometheus.log")).unwrap());
    host.namespace.contain(&mut command);
    command.spawn().unwrap()
}

#[test]
fn a_real_prometheus_scrapes_a_real_daemon() {
    if !has("prometheus") {
        return;
    }
    let Some(mut host) = served() else { return };
    start(&mut host);
    let mut prometheus = prometheus(&host);
    let query =
        "GET /api/v1/query?query=keepalived_vrrp_state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let begun = std::time::Instant::now();
    while !answer.contains("\"VI_1\"") && begun.elapsed().as_secs() < 60 {
        let asked = host.namespace.run(|| std::net::TcpStream::connect("127.0.0.1:9090")).unwrap();
        if let Ok(mut stream) = asked {
            answer.clear();
            let _ = stream.write_all(query.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    let log = fs::read_to_string(host.path("prometheus.log")).unwrap();
    assert!(answer.contains("\"iname\":\"VI_1\"") && answer.contains("\"2\"]"), "{answer}\n{log}");
}

/// Names of our metrics in a text, without what Prometheus appends to those of a histogram.
fn metric_names(text: &str) -> std::collections::BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("keepalived_") || word.starts_with("alived_"));
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

/// All expressions in the dashboard.
fn expressions(value: &serde_json::Value, to: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value {
                    serde_json::Value::String(text) if ["expr", "definition"].contains(&&**key) => {
                        to.push(text.clone());
                    }
                    value => expressions(value, to),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| expressions(value, to)),
        _ => {}
    }
}

#[test]
fn alerts_and_the_dashboard_ask_for_what_there_is() {
    let Some(mut host) = served() else { return };
    start(&mut host);
    let text = metrics(&mut host);
    let families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let conf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let rules = fs::read_to_string(conf.join("prometheus/alived.rules.yml")).unwrap();
    let dashboard = fs::read_to_string(conf.join("grafana/alived.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    let of_rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let all: Vec<String> = asked.iter().cloned().chain(of_rules.map(str::to_owned)).collect();
    let names = metric_names(&all.join("\n"));
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        assert!(families.contains(&&**name), "there is no metric {name}");
    }
    // A dashboard as Grafana 10 takes it: panels of known kinds, each at a place of its own.
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let kind = panel["type"].as_str().unwrap();
        assert!(["row", "stat", "timeseries", "state-timeline", "table"].contains(&kind), "{kind}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24 && place("h") > 0, "{panel}");
        assert!(kind == "row" || !panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
    assert!(dashboard["schemaVersion"].as_u64() == Some(38) && panels.len() > 15);
    if !has("promtool") {
        return;
    }
    let promtool = |words: &[&str]| {
        let output =
            Command::new("promtool").current_dir(conf.join("prometheus")).args(words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
    };
    promtool(&["check", "rules", "alived.rules.yml"]);
    promtool(&["test", "rules", "alived.rules.test.yml"]);
    // The dashboard's expressions are such that a rule may have them.
    let mut as_rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, expression) in asked.iter().filter(|of| !of.starts_with("label_values")).enumerate() {
        let plain =
            expression.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$iname", ".*");
        let quoted = serde_json::to_string(&plain).unwrap();
        as_rules += &format!("      - {{record: 'x:{number}', expr: {quoted}}}\n");
    }
    host.write("dashboard.yml", &as_rules);
    promtool(&["check", "rules", host.path("dashboard.yml").to_str().unwrap()]);
}

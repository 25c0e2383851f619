//! Routes in the table of a VRF, and routes that push MPLS labels.

use std::fs;

use alived::sys::process::signal;
use rtnetlink::LinkVrf;

use crate::host::{Host, instance, name};
use crate::ip::{ip, lines};
use crate::second_kernel;

const VRF: &str = "red";
/// Of the VRF.
const TABLE: u32 = 10;
const ADDRESS: &str = "192.0.2.50/24";

/// A router with these virtual routes, behind these other blocks.
fn configure(host: &Host, before: &str, routes: &str) {
    let router = instance("VI_1", 51, 100, ADDRESS);
    let router = router.trim_end().strip_suffix('}').unwrap();
    host.configure(&format!("{before}{router}    virtual_routes {{\n{routes}\n    }}\n}}\n"));
}

fn in_vrf(host: &Host) -> Vec<String> {
    let all = lines(host, &format!("-4 route show table {TABLE} proto keepalived"), "");
    all.into_iter().map(|line| line.split(" dev ").next().unwrap().to_owned()).collect()
}

fn kill_all(host: &mut Host) {
    let pids = [host.supervisor(), host.worker()];
    pids.iter().for_each(|pid| signal(*pid, libc::SIGSTOP));
    pids.iter().for_each(|pid| signal(*pid, libc::SIGKILL));
    host.wait_for_end();
    host.wait("its end", |_| pids.iter().all(|pid| !fs::exists(format!("/proc/{pid}/stat")).unwrap()));
}

#[test]
fn routes_are_in_the_table_of_their_vrf_whichever_that_is() {
    second_kernel::run(|| {
        let mut host = Host::new().unwrap();
        let join = |host: &mut Host, table| {
            host.socket.create(LinkVrf::new(VRF, table).up().build()).unwrap();
            let vrf = host.socket.index_of(&name(VRF)).unwrap();
            let lan = host.lan();
            host.socket.set_controller(lan, Some(vrf)).unwrap();
        };
        join(&mut host, TABLE);
        let route = format!("198.51.100.0/24 dev lan0 vrf {VRF}");
        let kept = format!("static_routes {{\n    203.0.113.0/24 dev lan0 vrf {VRF}\n}}\n");
        configure(&host, &kept, &route);
        host.start(&[]);
        host.wait("both routes", |host| in_vrf(host) == ["198.51.100.0/24", "203.0.113.0/24"]);
        assert!(lines(&host, "-4 route show proto keepalived", "").is_empty(), "the main table has none");
        // What somebody flushes is back.
        ip(&host, &format!("-4 route flush table {TABLE} proto keepalived"));
        host.wait("both routes again", |host| in_vrf(host).len() == 2);
        assert!(host.log().matches("putting it back").count() >= 2, "{}", host.log());
        // A route of somebody else's in that table stays, ours that is not configured any more goes.
        ip(&host, &format!("route add 10.4.0.0/16 dev lan0 table {TABLE} proto keepalived"));
        kill_all(&mut host);
        assert_eq!(in_vrf(&host).len(), 3);
        configure(&host, "", &route);
        host.start(&[]);
        host.wait("the other one to go", |host| in_vrf(host) == ["10.4.0.0/16", "198.51.100.0/24"]);
        host.wait_for_lines(
            "0 address(es), 1 route(s), 0 rule(s) and 0 interface(s) that a predecessor left",
            1,
        );
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(in_vrf(&host), ["10.4.0.0/16"], "{}", host.log());
    });
}

#[test]
fn routes_push_mpls_labels_and_are_put_back_and_adopted() {
    second_kernel::run(|| {
        second_kernel::load(&["mpls_router", "mpls_iptunnel"]).unwrap();
        let mut host = Host::new().unwrap();
        let route = "10.30.0.0/16 via 192.0.2.9 dev lan0 encap mpls 100/200";
        configure(&host, "", route);
        host.start(&[]);
        let shown = |host: &Host| lines(host, "-d -4 route show proto keepalived", "encap mpls");
        host.wait("the route", |host| shown(host).len() == 1);
        let line = shown(&host).remove(0);
        for part in ["10.30.0.0/16", "100/200", "via 192.0.2.9 dev lan0"] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        ip(&host, "route del 10.30.0.0/16");
        host.wait("the route again", |host| shown(host) == [line.clone()]);
        signal(host.worker(), libc::SIGKILL);
        host.wait_for_lines("adopting 1 route(s) and 0 rule(s) left over by a predecessor", 1);
        assert_eq!(shown(&host), [line]);
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert!(shown(&host).is_empty(), "{}", host.log());
    });
}

//! Unicast by an instance without `interface`, within a VRF.

use rtnetlink::LinkVrf;

use crate::host::{Host, LAN, name};
use crate::second_kernel;

const ADDRESS: &str = "198.51.100.50/24";
const VRF: &str = "red";

/// The host's interface becomes a member of a VRF with a routing table of its own.
fn join(host: &mut Host) {
    host.socket.create(LinkVrf::new(VRF, 10).up().build()).unwrap();
    let vrf = host.socket.index_of(&name(VRF)).unwrap();
    let lan = host.lan();
    host.socket.set_controller(lan, Some(vrf)).unwrap();
}

fn configure(host: &Host, vrf: &str) {
    let (own, other) = (host.number, 3 - host.number);
    let priority = if own == 1 { 150 } else { 100 };
    host.configure(&format!(
        "vrrp_instance VI_1 {{\n    {vrf}\n    virtual_router_id 51\n    version 3\n    priority {priority}\n    \
         advert_int 0.1\n    unicast_src_ip 192.0.2.{own}\n    unicast_peer {{\n        192.0.2.{other}\n    }}\n    \
         virtual_ipaddress {{\n        {ADDRESS} dev {LAN}\n    }}\n}}\n"
    ));
}

fn wait_for(host: &mut Host, held: bool) {
    host.wait(&format!("held: {held}"), |host| host.holds(ADDRESS) == held);
}

#[test]
fn routers_hear_each_other_in_their_vrf() {
    second_kernel::run(|| {
        let (mut first, mut second) = Host::pair().unwrap();
        for host in [&mut first, &mut second] {
            join(host);
            configure(host, &format!("vrf {VRF}"));
            host.start(&[]);
        }
        wait_for(&mut first, true);
        wait_for(&mut second, false);
        first.signal(libc::SIGTERM);
        assert!(first.wait_for_end().success());
        wait_for(&mut second, true);
        // The main table knows no way to the other one.
        configure(&first, "");
        first.start(&[]);
        first.wait_for_lines("cannot send advertisements: there is no route to its destination", 1);
        first.signal(libc::SIGTERM);
        first.wait_for_end();
        configure(&first, &format!("vrf {VRF}"));
        first.start(&[]);
        wait_for(&mut first, true);
        wait_for(&mut second, false);
        // The VRF goes, and comes back.
        let vrf = first.socket.index_of(&name(VRF)).unwrap();
        first.socket.delete(vrf).unwrap();
        first.wait_for_lines("interface red does not exist", 1);
        wait_for(&mut second, true);
        join(&mut first);
        wait_for(&mut first, true);
        wait_for(&mut second, false);
    });
}

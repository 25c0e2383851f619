//! The dump files that signals ask for, under keepalived's names.

use std::path::PathBuf;

use super::configuration::Settings;
use super::files;
use super::options::Options;
use crate::notify::Notifications;
use crate::status::keepalived_data::{self, Clock, Definition};
use crate::status::keepalived_json::{self, Told};
use crate::status::{Snapshot, keepalived_stats};
use crate::sys::{clock, process};

/// One of the files of the worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dump {
    /// `keepalived.data` (USR1).
    Data,
    /// `keepalived.json` (SIGRTMIN+2).
    Json,
    /// `keepalived.stats` (USR2, SIGRTMAX-1).
    Stats,
}

/// What the files are made with, besides the state of the routers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dumps<'a> {
    pub(super) options: &'a Options,
    pub(super) settings: &'a Settings,
    pub(super) notifications: &'a Notifications,
}

impl Dumps<'_> {
    /// What `keepalived.data` says.
    pub(super) fn data(&self, snapshot: &Snapshot) -> String {
        let told = Told { notifications: self.notifications, mail: self.settings.mail_on_changes };
        let settings = definitions(self.options, self.settings);
        let clock = Clock { now: clock::wall(), local: clock::local_date };
        keepalived_data::text(snapshot, &settings, told, clock)
    }

    /// Writes one of them, and says so.
    pub(super) fn write(&self, dump: Dump, snapshot: &Snapshot) {
        let told = Told { notifications: self.notifications, mail: self.settings.mail_on_changes };
        let (folder, name, text) = match dump {
            Dump::Data => {
                let (folder, name) = files::data_dump(self.options, self.settings, "");
                (folder, name, self.data(snapshot))
            }
            Dump::Stats => {
                let name = "keepalived.stats".to_owned();
                (files::dump_folder(), name, keepalived_stats::text(snapshot))
            }
            Dump::Json => {
                let version = self.settings.json_version;
                let Some(text) = keepalived_json::text(snapshot, told, version) else {
                    tracing::info!("there is no virtual router: keepalived.json is not written");
                    return;
                };
                (files::dump_folder(), "keepalived.json".to_owned(), text)
            }
        };
        let path = folder.join(&name);
        match files::write_dump(&folder, &name, &text) {
            Ok(_) => tracing::info!("wrote {}", path.display()),
            Err(error) => tracing::error!("cannot write {}: {error}", path.display()),
        }
    }
}

/// Writes `keepalived_parent.data`: what the supervisor was started with, and its children.
pub(super) fn write_parent(options: &Options, settings: &Settings, children: &[Definition]) {
    let (folder, name) = files::data_dump(options, settings, "_parent");
    let mut text = keepalived_data::definitions(&definitions(options, settings));
    text.push_str("------< Processes >------\n");
    for (name, value) in children {
        text.push_str(&format!(" {name} = {value}\n"));
    }
    let path: PathBuf = folder.join(&name);
    match files::write_dump(&folder, &name, &text) {
        Ok(_) => tracing::info!("the state of the supervisor is in {}", path.display()),
        Err(error) => tracing::error!("cannot write {}: {error}", path.display()),
    }
}

/// The section of the settings.
pub(super) fn global_definitions(options: &Options, settings: &Settings) -> String {
    keepalived_data::definitions(&definitions(options, settings))
}

/// Who this router is to others (`router_id`).
pub(super) fn router_id(settings: &Settings) -> String {
    settings.router_id.clone().unwrap_or_else(process::node_name)
}

/// The settings of a daemon, in keepalived's words where it has some.
fn definitions(options: &Options, settings: &Settings) -> Vec<Definition> {
    let word = |yes: bool| if yes { "true" } else { "false" }.to_owned();
    let namespace = options.namespace.as_ref().or(settings.namespace.as_ref());
    let mut list = vec![
        ("Network namespace", namespace.map_or("(default)", String::as_str).to_owned()),
        ("Router ID", router_id(settings)),
        ("Default smtp_alert_vrrp", word(settings.mail_on_changes)),
        ("nftables table name", settings.filters.table.clone()),
        ("Max auto priority", settings.auto_priority.map_or(0, |auto| auto.max).to_string()),
        ("VRRP process priority", settings.vrrp.nice.unwrap_or_default().to_string()),
        ("VRRP don't swap", word(settings.vrrp.no_swap)),
        ("VRRP realtime priority", settings.realtime_priority.unwrap_or_default().to_string()),
        ("json_version", settings.json_version.to_string()),
        ("Child wait time", format!("{} secs", settings.child_wait_time.as_secs())),
        ("umask", format!("{:04o}", options.umask.or(settings.umask).unwrap_or(super::UMASK))),
    ];
    if let Some(instance) = &settings.instance {
        list.insert(1, ("Instance name", instance.clone()));
    }
    if let Some(us) = settings.vrrp.realtime_limit_us {
        list.push(("VRRP realtime limit", us.to_string()));
    }
    if !settings.vrrp.processors.is_empty() {
        let processors: Vec<String> = settings.vrrp.processors.iter().map(u32::to_string).collect();
        list.push(("VRRP CPU Affinity", processors.join(" ")));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FakeHost, LoadOptions, load};
    use crate::kernel::{KernelEvent, KernelView};
    use crate::node::{Event, HaNode};
    use crate::status::Lateness;
    use crate::time::{Now, WallTime};
    use crate::vrrp::Actions;

    /// What keepalived 2.2.7 writes for the lines below in a backup, but for `proto`, which it leaves out after `no_track`
    /// (and sets 0), the labels of MPLS, which it writes in another unit, `realm` for `realms`, and `no_track`, which it
    /// has for routes without an interface (2.3.2 and later do not).
    const ADDRESSES: [&str; 9] = [
        "192.0.2.50/24 brd 192.0.2.255 dev v0 scope global label v0:1",
        "192.0.2.51 dev v1 scope link no_track",
        "10.0.0.1 dev v0 scope global peer 10.0.0.2/32",
        "192.0.2.53/24 dev v0 scope site label v0:2 home noprefixroute autojoin no_track",
        "2001:db8::5 dev v0 scope global home -nodad mngtmpaddr noprefixroute autojoin deprecated",
        "2001:db8::6/64 dev v0 scope global no_track preferred_lft forever",
        "2001:db8::7/64 dev v0 scope global preferred_lft 300",
        "192.0.2.77 dev v0 scope global",
        "192.0.2.78 dev v0 scope 7",
    ];

    const ROUTES: [(&str, &str); 13] = [
        ("default via 192.0.2.254 dev v0", "prepend 0.0.0.0/0 via inet 192.0.2.254 dev v0 proto 18"),
        (
            "10.1.0.0/24 src 192.0.2.50 via 192.0.2.254 dev v0 tos 0x10 table 100 scope link metric 7 onlink no_track",
            "prepend 10.1.0.0/24 src 192.0.2.50 tos 16 via inet 192.0.2.254 dev v0 table 100 proto 18 scope 253 \
             metric 7 onlink no_track",
        ),
        (
            "10.2.0.0/24 via 192.0.2.254 dev v0 mtu lock 1400 hoplimit 7 advmss 1300 rttvar 2s reordering lock 4 window \
             5000 cwnd 4 ssthresh lock 9 realms 4/5 rto_min 300ms initcwnd 11 initrwnd 12 features ecn quickack 1",
            "prepend 10.2.0.0/24 via inet 192.0.2.254 dev v0 proto 18 realms 4/5 rttvar 2s rto_min 300ms features ecn \
             mtu lock 1400 window 5000 ssthresh lock 9 cwnd 4 advmss 1300 reordering lock 4 hoplimit 7 initcwnd 11 \
             initrwnd 12 quickack 1",
        ),
        (
            "10.3.0.0/24 nexthop via 192.0.2.254 dev v0 weight 5 onlink nexthop via 192.0.2.253 dev v0 weight 6",
            "prepend 10.3.0.0/24 proto 18 nexthop via inet 192.0.2.254 dev v0 weight 5 onlink nexthop via inet \
             192.0.2.253 dev v0 weight 6",
        ),
        (
            "unreachable 10.6.0.0/16 metric 5 table local",
            "add unreachable 10.6.0.0/16 table 255 proto 18 metric 5",
        ),
        ("prohibit 10.7.0.0/16 add", "add prohibit 10.7.0.0/16 proto 18"),
        (
            "10.9.0.1 dev v0 encap ip id 5 dst 10.0.0.1 src 10.0.0.2 tos 4 ttl 5",
            "prepend 10.9.0.1 encap ip id 5 dst 10.0.0.1 src 10.0.0.2 tos 4 ttl 5 dev v0 proto 18",
        ),
        ("10.9.0.2 dev v0 encap mpls 20/30", "prepend 10.9.0.2 encap mpls 20/30 dev v0 proto 18"),
        (
            "10.9.0.3 dev v0 encap ip6 id 6 dst 2001:db8::1 src 2001:db8::2 tc 4 hoplimit 5",
            "prepend 10.9.0.3 encap ip6 id 6 dst 2001:db8::1 src 2001:db8::2 tc 4 hoplimit 5 dev v0 proto 18",
        ),
        (
            "2001:db8:1::/64 from 2001:db8:9::/64 via fe80::1 dev v0 pref high metric 33 expires 60 mtu 1300",
            "prepend 2001:db8:1::/64 from 2001:db8:9::/64 via inet6 fe80::1 dev v0 proto 18 metric 33 expires 60sec mtu \
             1300 pref high",
        ),
        ("local 10.10.0.1/32 dev v0", "add local 10.10.0.1 dev v0 proto 18"),
        ("blackhole 203.0.113.0/24", "add blackhole 203.0.113.0/24 proto 18"),
        ("0.0.0.0/0 via 192.0.2.3", "prepend 0.0.0.0/0 via inet 192.0.2.3 proto 18"),
    ];

    const RULES: [(&str, &str); 10] = [
        (
            "from 192.0.2.0/24 lookup 100 priority 500",
            "from 192.0.2.0/24 priority 500 tos 0x0 protocol 18 lookup 100",
        ),
        (
            "to 192.0.2.0/24 table main order 501 not tos 0x10 fwmark 5/7 no_track",
            "not from all to 192.0.2.0/24 priority 501 tos 0x10 fwmark 0x5/0x7 protocol 18 lookup 254 no_track",
        ),
        (
            "fwmark 6 realms 3/4 iif v0 oif v1 lookup 100 preference 502",
            "from all priority 502 tos 0x0 fwmark 0x6 iif v0 oif v1 protocol 18 realms 3/4 lookup 100",
        ),
        (
            "from 192.0.2.1 suppress_prefixlength 4 suppress_ifgroup 7 tunnel-id 88 uidrange 5-6 lookup 100 priority 503",
            "from 192.0.2.1 priority 503 tos 0x0 suppress_prefixlen 4 suppress_ifgroup 7 tunnel-id 88 uidrange 5-6 \
             protocol 18 lookup 100",
        ),
        (
            "from 2001:db8::/64 l3mdev ipproto udp sport 5-6 dport 7-8 preference 504",
            "from 2001:db8::/64 priority 504 tos 0x0 l3mdev protocol 18 ipproto 17 sport 5-6 dport 7-8 lookup 0",
        ),
        (
            "from 192.0.2.6 goto 600 preference 505",
            "from 192.0.2.6 priority 505 tos 0x0 protocol 18 goto 600",
        ),
        (
            "from 192.0.2.7 blackhole preference 506",
            "from 192.0.2.7 priority 506 tos 0x0 protocol 18 type blackhole",
        ),
        (
            "from 192.0.2.8 unreachable preference 507",
            "from 192.0.2.8 priority 507 tos 0x0 protocol 18 type unreachable",
        ),
        (
            "from 192.0.2.9 prohibit preference 508",
            "from 192.0.2.9 priority 508 tos 0x0 protocol 18 type prohibit",
        ),
        ("from 192.0.2.9 nop preference 509", "from 192.0.2.9 priority 509 tos 0x0 protocol 18 nop"),
    ];

    #[test]
    fn lines_are_keepalived_s() {
        let routes: String = ROUTES.iter().map(|(line, _)| format!("{line}\n")).collect();
        let rules: String = RULES.iter().map(|(line, _)| format!("{line}\n")).collect();
        let text = format!(
            "vrrp_instance VI_1 {{\ninterface v0\nvirtual_router_id 51\nvirtual_ipaddress {{\n\
             192.0.2.50/24 brd + label v0:1\n192.0.2.51 dev v1 scope link no_track\n10.0.0.1 peer 10.0.0.2\n\
             192.0.2.53/24 scope site label v0:2 home noprefixroute autojoin no_track\n}}\n\
             virtual_ipaddress_excluded {{\n\
             2001:db8::5 home -nodad mngtmpaddr noprefixroute autojoin preferred_lft 0\n\
             2001:db8::6/64 preferred_lft forever no_track\n2001:db8::7/64 preferred_lft 300\n192.0.2.77/32\n\
             192.0.2.78 scope 7\n}}\n\
             virtual_routes {{\n{routes}}}\nvirtual_rules {{\n{rules}}}\n}}\n"
        );
        let host = FakeHost::with_file("k.conf", text);
        let loaded = load(&host, "k.conf", &LoadOptions::default());
        let (told, diagnostics) = (loaded.notifications, loaded.diagnostics);
        let mut node = HaNode::new(loaded.node);
        let view = KernelEvent::View(KernelView::default());
        node.handle(Now::default(), Event::Kernel(view), &mut Actions::default());
        let snapshot = Snapshot::of(Now::default().instant, &node, &Lateness::default(), 0);
        let told = Told { notifications: &told, mail: false };
        let json = keepalived_json::text(&snapshot, told, 2).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let data = &json["vrrp"][0]["data"];
        let lines = |key: &str| -> Vec<&str> {
            data[key].as_array().into_iter().flatten().map(|line| line.as_str().unwrap()).collect()
        };
        assert_eq!([lines("vips"), lines("evips")].concat(), ADDRESSES, "{diagnostics:?}");
        assert_eq!(lines("vroutes"), ROUTES.map(|(_, line)| line), "{diagnostics:?}");
        assert_eq!(lines("vrules"), RULES.map(|(_, line)| line), "{diagnostics:?}");
        let clock = Clock { now: WallTime::default(), local: |_| String::new() };
        let text = keepalived_data::text(&snapshot, &[], told, clock);
        for line in
            ADDRESSES.into_iter().chain(ROUTES.map(|(_, line)| line)).chain(RULES.map(|(_, line)| line))
        {
            assert!(text.contains(&format!("\n     {line}\n")), "{line}: {text}");
        }
    }
}

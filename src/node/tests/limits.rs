//! What a router does not do for ever: report, answer, wait for a delay that was changed, send in vain.

use super::*;

/// 20,000 packets a second for five seconds; gives how many reports and advertisements came of them.
fn flood(mut script: Script, mut send: impl FnMut(&mut Script, u32)) -> (usize, usize, Script) {
    script.take();
    let (mut reports, mut advertisements, mut left_out) = (0, 0, 0);
    for packet in 0..100_000 {
        script.now.instant += Duration::from_micros(50);
        send(&mut script, packet);
        if script.node.poll_timeout().is_some_and(|at| at <= script.now.instant) {
            script.node.handle_timeout(script.now, &mut script.actions);
        }
        let actions = script.take();
        reports += actions.reports().count();
        advertisements += actions.transmit.len();
        for report in actions.reports() {
            if let ReportKind::LeftOut { count, .. } = &report.kind {
                left_out += count;
            }
        }
    }
    assert!(reports == 0 || left_out > 50_000, "the others are counted: {left_out}");
    (reports, advertisements, script)
}

fn master() -> Script {
    let mut script = Script::new(|config| config.interval = AdvertisementInterval::ONE_SECOND);
    script.pass(4_000);
    script.obey();
    script
}

#[test]
fn a_flood_of_rivals_is_told_once_in_a_second_and_answered_ten_times_in_an_interval() {
    let other = ["192.0.2.52", "192.0.2.53"];
    let (reports, advertisements, script) = flood(master(), |script, packet| {
        let from = format!("192.0.2.{}", 20 + packet % 200);
        script.hear_of(&from, 50, AdvertisementInterval::ONE_SECOND, other[packet as usize % 2]);
    });
    // Three kinds, each at most once in a second, and once the number of those left out.
    assert!(reports <= 3 * 2 * 6, "{reports}");
    assert!((5..=60).contains(&advertisements), "{advertisements}");
    assert_eq!(script.state(), State::Master);
}

#[test]
fn a_flood_of_leaving_routers_is_answered_ten_times_in_an_interval() {
    let (reports, advertisements, script) = flood(master(), |script, _| script.hear(RIVAL, 0));
    assert_eq!(reports, 0);
    assert!((5..=60).contains(&advertisements), "{advertisements}");
    assert_eq!(script.state(), State::Master);
}

#[test]
fn a_rival_that_came_too_early_for_an_answer_gets_one() {
    let mut script = master();
    script.take();
    script.hear(RIVAL, 50);
    assert_eq!(script.take().transmit.len(), 1, "at once");
    script.pass(10);
    script.hear("192.0.2.21", 50);
    assert_eq!(script.take().transmit.len(), 0, "the other was just answered");
    script.pass(95);
    assert_eq!(script.take().transmit.len(), 1);
}

#[test]
fn a_flood_of_changing_intervals_is_told_once_in_a_second() {
    let (reports, _, script) = flood(Script::new(|_| {}), |script, packet| {
        let interval = AdvertisementInterval::from_centiseconds(100 + (packet % 2) as u16).unwrap();
        script.hear_of(RIVAL, 200, interval, "192.0.2.51");
    });
    assert!((2..=14).contains(&reports), "{reports}");
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn a_reload_moves_the_end_of_a_delay_that_runs() {
    // preempt_delay 15 s, changed to 1 s after 5 s.
    for (before, after, takes_over_ms) in
        [(15, 1, 8_700..8_800), (15, 0, 8_600..8_800), (4, 12, 15_500..15_800)]
    {
        let with = |delay| move |config: &mut RouterConfig| config.preempt_delay = Duration::from_secs(delay);
        let mut script = Script::new(with(before));
        let begun = script.now.instant;
        let mut reloaded = false;
        while script.state() != State::Master {
            script.hear(RIVAL, 50);
            if !reloaded && script.now.instant.saturating_since(begun) >= Duration::from_secs(3) {
                reloaded = true;
                script.tell(Event::Reconfigure(NodeConfig {
                    routers: vec![router(with(after))],
                    ..NodeConfig::default()
                }));
            }
            script.pass(100);
            assert!(script.now.instant.saturating_since(begun) < Duration::from_secs(60));
        }
        let took = script.now.instant.saturating_since(begun).as_millis();
        let expected = takes_over_ms.start - 2_000..takes_over_ms.end;
        assert!(expected.contains(&took), "{before} s to {after} s: {took} ms");
    }
}

#[test]
fn a_reload_moves_the_end_of_the_startup_delay() {
    let with = |seconds| NodeConfig {
        routers: vec![router(|_| {})],
        startup_delay: Duration::from_secs(seconds),
        ..NodeConfig::default()
    };
    for (after, starts_ms) in [(0, 1_000), (2, 2_000), (20, 20_000)] {
        let mut script = Script::new(|_| {});
        script.node = HaNode::new(with(10));
        let begun = script.now.instant;
        let addresses = vec![held_address(OWN, false)];
        script.tell(Event::Kernel(KernelEvent::View(KernelView {
            links: vec![link(true)],
            addresses,
            ..KernelView::default()
        })));
        let told = |kind: &ReportKind| matches!(kind, ReportKind::StartupDelayed { delay, .. } if delay.as_secs() == 10);
        assert!(script.take().reports().any(|report| told(&report.kind)), "an operator is told");
        let socket = ReceiveSocket::vrrp(ETH0, "224.0.0.18".parse().unwrap());
        script.tell(Event::Socket(SocketEvent::Opened(socket)));
        script.pass(1_000);
        assert_eq!(script.state(), State::Initialize);
        script.tell(Event::Reconfigure(with(after)));
        while script.state() == State::Initialize {
            script.pass(10);
        }
        let took = script.now.instant.saturating_since(begun).as_millis() as u64;
        assert!((starts_ms..starts_ms + 20).contains(&took), "{after} s: {took} ms");
    }
}

#[test]
fn a_preempt_delay_is_told_with_its_end() {
    let mut script = Script::new(|config| config.preempt_delay = Duration::from_secs(15));
    script.hear(RIVAL, 50);
    let until = script.now.wall + Duration::from_secs(15);
    let from = RIVAL.parse().unwrap();
    let heard = ReportKind::PeerHeard { from, priority: Priority(50) };
    let told = ReportKind::PreemptDelayed { master: from, delay: Duration::from_secs(15), until };
    assert_eq!(script.take().reports().map(|report| report.kind.clone()).collect::<Vec<_>>(), [heard, told]);
    script.hear(RIVAL, 50);
    assert!(script.take().is_empty(), "once");
}

#[test]
fn a_reload_moves_announcements_that_are_planned() {
    let with = |delay, refresh| {
        move |config: &mut RouterConfig| {
            config.announce.delay = Duration::from_secs(delay);
            config.announce.refresh = Duration::from_secs(refresh);
        }
    };
    let mut script = Script::new(with(30, 0));
    script.pass(4_000);
    script.obey();
    script.pass(1_000);
    script.take();
    let reload = |script: &mut Script, delay, refresh| {
        let routers = vec![router(with(delay, refresh))];
        script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
    };
    reload(&mut script, 2, 0);
    script.pass(2_000);
    assert_eq!(script.announced(), 5, "the second block, two seconds after the election");
    script.take();
    reload(&mut script, 2, 10);
    script.pass(10_000);
    assert_eq!(script.announced(), 1, "the first refresh");
    script.take();
    reload(&mut script, 2, 0);
    script.pass(60_000);
    assert_eq!(script.announced(), 0);
}

/// Serves timers for so long; the kernel refuses to send.
fn fail_to_send(script: &mut Script, ms: u64, errno: i32) {
    let end = script.now.instant + Duration::from_millis(ms);
    while let Some(at) = script.node.poll_timeout().filter(|at| *at <= end) {
        script.now.instant = script.now.instant.max(at);
        script.node.handle_timeout(script.now, &mut script.actions);
        let sent = core::mem::take(&mut script.actions.transmit);
        let failed = (0..sent.len()).map(|position| (position, SendObstacle { errno })).collect();
        script.node.note_sent(script.now, &sent, &failed, &mut script.actions);
    }
    script.now.instant = end;
}

#[test]
fn a_master_whose_advertisements_do_not_leave_stands_back_and_says_why() {
    let mut script = master();
    script.take();
    fail_to_send(&mut script, 3_000, 90);
    let begun = |kind: &ReportKind| matches!(kind, ReportKind::SendFailing { interface, obstacle } if interface.as_ref().is_some_and(|name| name.as_str() == "eth0") && obstacle.errno == 90);
    let actions = script.take();
    assert_eq!(actions.reports().filter(|report| begun(&report.kind)).count(), 1);
    assert_eq!(script.state(), State::Master);
    fail_to_send(&mut script, 2_000, 90);
    assert_eq!(script.state(), State::Fault);
    let cause = script.take().transitions().next().map(|t| t.cause.to_string()).unwrap();
    assert!(cause.contains("MTU") && cause.contains("eth0"), "{cause}");
    // Somebody else is heard: it tries again after the pause.
    script.hear(RIVAL, 50);
    fail_to_send(&mut script, 1_100, 90);
    assert_eq!(script.state(), State::Backup);
    fail_to_send(&mut script, 4_000, 90);
    assert_eq!(script.state(), State::Fault);
    // A larger MTU ends it at once.
    script.tell(Event::Kernel(KernelEvent::LinkChanged(Link { mtu: 9_000, ..link(true) })));
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn that_advertisements_leave_again_is_told() {
    let mut script = master();
    fail_to_send(&mut script, 2_500, 1);
    script.take();
    script.pass(1_000);
    let sent = script.take().transmit;
    script.node.note_sent(script.now, &sent, &Default::default(), &mut script.actions);
    let told = |kind: &ReportKind| matches!(kind, ReportKind::SendWorks { failed: 2..=3, .. });
    assert!(script.actions.reports().any(|report| told(&report.kind)), "{:?}", script.actions.news);
    assert_eq!(script.state(), State::Master);
}

#[test]
fn who_does_not_track_its_interface_stays_master_without_it() {
    let mut script = Script::new(|config| config.track_primary = false);
    script.pass(4_000);
    script.obey();
    script.tell(Event::Kernel(KernelEvent::LinkChanged(link(false))));
    fail_to_send(&mut script, 20_000, 100);
    assert_eq!(script.state(), State::Master);
}

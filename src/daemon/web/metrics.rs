//! `/metrics`: what the workers tell, in the text format of Prometheus.

use hyper::body::Bytes;

use super::super::seat::Part;
use super::shared::Shared;
use super::workers::Workers;
use crate::status::{Sources, metrics};

/// Made once for all who ask at a time.
#[derive(Debug)]
pub(super) struct Metrics {
    workers: Workers,
    text: Shared<Bytes>,
}

impl Metrics {
    pub(super) fn new(workers: Workers) -> Self {
        Self { workers, text: Shared::default() }
    }

    /// The whole text. A worker that does not answer costs its part.
    pub(super) async fn text(&self) -> Bytes {
        self.text
            .get(async {
                let (vrrp, lvs) =
                    tokio::join!(self.workers.status(Part::Vrrp), self.workers.status(Part::Lvs));
                Bytes::from(metrics(&Sources { vrrp: vrrp.map(Result::ok), lvs: lvs.map(Result::ok) }))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::status::sample::balancer;

    #[test]
    fn virtual_servers_have_the_exporters_names_and_ours_and_promtool_finds_nothing() {
        let text = metrics(&Sources { vrrp: None, lvs: Some(Some(balancer())) });
        for line in [
            "keepalived_up 1",
            "keepalived_lvs_vip_in_packets{addr=\"192.0.2.1:80\",proto=\"6\"} 30",
            "keepalived_lvs_vip_out_bytes{addr=\"192.0.2.1:80\",proto=\"6\"} 60",
            // In two services: summed, since the labels do not tell them apart.
            "keepalived_lvs_rs_conn{addr=\"192.0.2.10:80\",proto=\"6\"} 20",
            "alived_worker_up{worker=\"lvs\"} 1",
            "alived_virtual_server_up{virtual_server=\"[192.0.2.1]:tcp:80\"} 1",
            "alived_real_server_up{virtual_server=\"[192.0.2.1]:tcp:80\",real_server=\"[192.0.2.10]:tcp:80\"} 1",
            "alived_check_up{virtual_server=\"[192.0.2.1]:tcp:80\",real_server=\"[192.0.2.10]:tcp:80\",check=\"SSL_GET\",\
             number=\"1\"} 0",
            "alived_check_last_duration_seconds{virtual_server=\"[192.0.2.1]:tcp:80\",\
             real_server=\"[192.0.2.10]:tcp:80\",check=\"TCP_CHECK\",number=\"0\"} 0.0015",
            "alived_check_duration_seconds_bucket{virtual_server=\"[192.0.2.1]:tcp:80\",le=\"0.002\"} 1",
            "alived_check_duration_seconds_bucket{virtual_server=\"[192.0.2.1]:tcp:80\",le=\"+Inf\"} 2",
            "alived_check_duration_seconds_sum{virtual_server=\"[192.0.2.1]:tcp:80\"} 20.0015",
            "alived_certificate_expiry_timestamp_seconds{virtual_server=\"[192.0.2.1]:tcp:80\",\
             real_server=\"[192.0.2.10]:tcp:80\"} 1900000000",
            "alived_ipvs_entries{state=\"lacking\"} 1",
        ] {
            assert!(text.lines().any(|of| of == line), "no `{line}` in\n{text}");
        }
        let started = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = started else {
            let test = "virtual_servers_have_the_exporters_names_and_ours_and_promtool_finds_nothing";
            crate::skip::skip(test, "promtool is not installed (apt-get install prometheus)");
            return;
        };
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }

    #[test]
    fn a_worker_that_does_not_answer_costs_its_part() {
        let text = metrics(&Sources { vrrp: Some(None), lvs: Some(Some(balancer())) });
        for line in
            ["keepalived_up 0", "alived_worker_up{worker=\"vrrp\"} 0", "alived_worker_up{worker=\"lvs\"} 1"]
        {
            assert!(text.lines().any(|of| of == line), "no `{line}` in\n{text}");
        }
        assert!(text.contains("alived_virtual_server_up{"), "{text}");
    }
}

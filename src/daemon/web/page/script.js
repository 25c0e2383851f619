"use strict";
// Shows /status.json, and again whenever /events says that something has happened. Text gets into the page as text alone.

const EVENTS_SHOWN = 200;
const OPEN_AT_FIRST = 12;
const STATES = { MASTER: "good", BACKUP: "idle", FAULT: "bad", MAINTENANCE: "warn" };
const open = new Map();
const latencies = new Map();
const seen = new Set();
let status = null;
let ahead_us = 0;

const at = (id) => document.getElementById(id);

/** An element: what it is (`tag.class`), and what is in it. */
function make(what, ...content) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  element.className = classes.filter(Boolean).join(" ");
  element.append(...content.flat().filter((part) => part !== null && part !== undefined && part !== false));
  return element;
}

function span(us) {
  const s = us / 1e6;
  const short = (number) => number.toFixed(number < 10 ? 1 : 0).replace(/\.0$/, "");
  if (us < 1000) return `${Math.round(us)} µs`;
  if (s < 1) return `${short(us / 1e3)} ms`;
  if (s < 60) return `${short(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s / 60) % 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s / 3600) % 24)} h`;
}

const now_us = () => Date.now() * 1000 + ahead_us;
const ago = (unix_us) => span(Math.max(0, now_us() - unix_us));
const moment = (unix_us) => new Date(unix_us / 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

function facts(pairs) {
  const list = make("dl");
  for (const [name, value, kind] of pairs) {
    if (value === null || value === undefined || value === false || value === "") continue;
    list.append(make("dt", name), make(kind ? `dd.${kind}` : "dd", value));
  }
  return list;
}

/** Another router of the same virtual router. */
function peer_line(peer) {
  const reason = peer.last_rejection ?? Object.keys(peer.rejections).join(", ");
  const master = peer.priority === null ? "no advertisement accepted" : `priority ${peer.priority}, ${peer.accepted} accepted`;
  return make("div.peer",
    make("div", make("span.quiet", "Peer "), make("b", peer.address)),
    make("div.quiet", `${master}, heard ${span(peer.heard_before_us)} ago`),
    peer.rejected > 0 && make("div.text-bad", `${peer.rejected} discarded${reason ? `: ${reason}` : ""}`),
    peer.address_list && make("div.text-bad", peer.address_list));
}

/** A card that stays open or closed as the reader left it. */
function card(key, kind, title, badge, why, body, opened) {
  const details = make(`details.card${kind === "bad" ? ".bad" : ""}`);
  const is_open = open.get(key) ?? opened;
  details.append(make("summary", make("h3", title), make(`span.badge.${kind}`, badge), make("span.why", why)));
  const fill = () => details.children.length < 2 && details.append(make("div.body", body()));
  if (is_open) fill();
  details.open = is_open;
  details.addEventListener("toggle", () => {
    open.set(key, details.open);
    if (details.open) fill();
  });
  return details;
}

function router(of, opened) {
  const kind = of.second_masters.length ? "bad" : STATES[of.state] ?? "idle";
  const body = () => {
    const { base, effective, contributions } = of.priority;
    const parts = contributions.map((part) => `${part.weight < 0 ? "−" : "+"}\u00a0${Math.abs(part.weight)} (${part.name})`);
    const tags = make("div.tags", of.addresses.map((address) => {
      const kind = address.duplicate ? ".bad" : address.wanted ? ".held" : "";
      return make(`span${kind}`, address.address + (address.duplicate ? " (another host has it)" : ""));
    }));
    const discards = Object.entries(of.counters.rejected).map(([reason, number]) => `${reason} ${number}`).join(", ");
    return [
      of.second_masters.map((rival) => make("p.text-bad",
        `${rival.address} is master too, priority ${rival.priority}, for ${span(rival.heard_for_us)}`)),
      facts([
        ["Priority", parts.length ? `${effective} = ${base} ${parts.join(" ")}` : String(effective)],
        ["Interface", `${of.own_interface ? `${of.own_interface} on ` : ""}${of.interface ?? "any"}, ${of.family}, VRRP ${of.version}`],
        ["Advertises", `every ${span(of.interval_us)} from ${of.source ?? "no address"}`],
        ["Follows", of.master && `${of.master.address}, priority ${of.master.priority}`],
        ["Takes over", of.state === "BACKUP" && `after ${span(of.master_down_us)} of silence`],
        ["Sync group", of.group],
        ["Fault", of.faults.join("; "), "bad"],
        ["Discarded", discards],
        ["Counted", `${of.counters.advertisements_sent} sent, ${of.counters.advertisements_received} received, master ${count(of.counters.became_master, "time", "times")}`],
      ]),
      tags,
      of.peers.map(peer_line),
    ].flat();
  };
  const why = `for ${ago(of.since_unix_us)}${of.cause ? `: ${of.cause}` : ""}`;
  return card(`router ${of.name}`, kind, [of.name, make("span.quiet", `  VRID ${of.vrid}`)],
    of.second_masters.length ? "TWO MASTERS" : of.state, why, body, opened);
}

function group(of) {
  const why = `for ${ago(of.since_unix_us)}${of.cause ? `: ${of.cause}` : ""}`;
  const body = () => [make("div.tags", of.members.map((name) => make("span", name)))];
  return card(`group ${of.name}`, STATES[of.state] ?? "idle", of.name, of.state, why, body, false);
}

/** The last durations of a check as a line. */
function spark(key, last) {
  const kept = latencies.get(key) ?? [];
  if (last && kept.at(-1)?.at !== last.at_unix_us) kept.push({ at: last.at_unix_us, us: last.latency_us });
  latencies.set(key, kept.slice(-40));
  if (kept.length < 2) return null;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(...kept.map((one) => one.us), 1);
  const points = kept.map((one, index) => `${(100 * index) / (kept.length - 1)},${19 - (18 * one.us) / most}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  for (const [name, value] of [["points", points.join(" ")], ["fill", "none"], ["stroke", "currentColor"], ["stroke-width", "1.5"], ["vector-effect", "non-scaling-stroke"]]) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

function real_server(server, real) {
  const checks = real.checks.map((check, index) => {
    const last = check.last;
    const line = spark(`${server.name} ${real.name} ${index}`, last);
    const expires = last?.certificate_expires_unix_us;
    const left = expires && expires - now_us();
    const note = left && (left < 0 ? "certificate EXPIRED" : `certificate for ${span(left)} more`);
    return make("div.check",
      make("span", check.kind, " ", last ? make("b", span(last.latency_us)) : make("span.quiet", "no result yet"), " ", line ?? ""),
      make(`span.badge.${check.suspended ? "idle" : check.up === null ? "idle" : check.up ? "good" : "bad"}`, check.suspended ? "rests" : check.up === null ? "?" : check.up ? "up" : "down"),
      make(last && !last.good ? "span.text-bad" : "span.quiet", [last?.reason, note].filter(Boolean).join(", ")));
  });
  return make("div.real",
    make("header", make("b", real.name), make(`span.badge.${real.up ? "good" : "bad"}`, real.up ? "UP" : "DOWN")),
    make("div.quiet", `weight ${real.weight}${real.weight === real.configured_weight ? "" : ` (configured ${real.configured_weight})`}, ${real.method}, ${real.active_connections} active, ${real.inactive_connections} inactive connections${real.in_table ? "" : ", not in the table"}`),
    checks);
}

function virtual_server(of, opened) {
  const up = of.real_servers.filter((real) => real.up).length;
  const why = `${up} of ${count(of.real_servers.length, "real server", "real servers")} up, weight ${of.live_weight} of ${of.needed_weight} needed, ${of.scheduler}${of.sorry ? `, sorry server ${of.sorry_server} serves` : ""}${of.suspended ? ", checks rest" : ""}`;
  const kind = of.up ? (up < of.real_servers.length ? "warn" : "good") : "bad";
  return card(`server ${of.name}`, kind, of.name, of.up ? "UP" : "DOWN", why,
    () => of.real_servers.map((real) => real_server(of, real)), opened);
}

function event_line(of) {
  const text = {
    "transition": () => [make("b", `${of.name}: ${of.from} → ${of.to}`), `, priority ${of.priority}: ${of.cause}`],
    "group-transition": () => [make("b", `sync group ${of.name}: ${of.from} → ${of.to}`), `: ${of.cause}`],
    "lower-priority-heard": () => [`${of.name}: heard a master of lower priority than ours, ${of.priority}`],
    "report": () => [of.name ? `${of.name}: ${of.text}` : of.text],
    "reload": () => [make("b", of.taken ? "reloaded" : "reload refused"), `: ${of.lines.join("; ")}`],
    "said": () => [of.text],
  }[of.kind]?.() ?? [JSON.stringify(of)];
  const kind = of.to ? STATES[of.to] ?? "idle" : of.kind === "reload" && !of.taken ? "bad" : "none";
  const time = make("time", moment(of.at_unix_us));
  time.dateTime = new Date(of.at_unix_us / 1000).toISOString();
  return make(`li.${kind}`, time, make("span", text));
}

function add_events(records) {
  const list = at("events");
  for (const record of records) {
    const key = `${status?.vrrp?.daemon.started_unix_us} ${record.number}`;
    if (seen.has(key)) continue;
    seen.add(key);
    list.prepend(event_line(record));
  }
  while (list.children.length > EVENTS_SHOWN) list.lastChild.remove();
  at("events-section").hidden = !list.children.length;
}

function summary(routers, servers) {
  const states = (state) => routers.filter((of) => of.state === state).length;
  const real = servers.flatMap((of) => of.real_servers);
  const down = real.filter((of) => !of.up).length;
  const two = routers.filter((of) => of.second_masters.length).length;
  const chips = [];
  if (routers.length) {
    chips.push(["master", states("MASTER"), "good"], ["backup", states("BACKUP"), ""], ["fault", states("FAULT"), states("FAULT") ? "bad" : ""]);
    if (states("MAINTENANCE")) chips.push(["maintenance", states("MAINTENANCE"), ""]);
    if (two) chips.push(["two masters", two, "bad"]);
  }
  if (servers.length) {
    const lost = servers.filter((of) => !of.up).length;
    chips.push(["virtual servers", servers.length, lost ? "bad" : "good"], ["real servers up", `${real.length - down}/${real.length}`, down ? "bad" : "good"]);
  }
  at("summary").replaceChildren(...chips.map(([name, value, kind]) => make(`div.${kind}`, make("b", String(value)), make("span", name))));
}

function banners() {
  const lines = [];
  for (const [name, up] of Object.entries(status.workers)) {
    if (!up) lines.push(make("p", `The ${name} worker does not answer: what it does is not shown.`));
  }
  const maintenance = status.vrrp?.daemon.maintenance;
  if (maintenance) {
    const until = maintenance.until_unix_us ? `until ${moment(maintenance.until_unix_us)}` : "until it is ended";
    lines.push(make("p.warn", `Maintenance since ${moment(maintenance.since_unix_us)}, ${until}: no virtual router takes part.`));
  }
  for (const of of [status.vrrp, status.lvs]) {
    const reload = of?.daemon.last_reload;
    if (reload && !reload.taken) {
      lines.push(make("p", `The last reload, ${ago(reload.at_unix_us)} ago, was refused: ${reload.lines.join("; ")}`));
      break;
    }
  }
  at("banners").replaceChildren(...lines);
}

function show() {
  const daemon = (status.vrrp ?? status.lvs)?.daemon;
  const routers = status.vrrp?.routers ?? [];
  const groups = status.vrrp?.groups ?? [];
  const servers = status.lvs?.virtual_servers ?? [];
  at("host").textContent = daemon?.router_id || "alived";
  document.title = `${daemon?.router_id ?? ""} – alived`;
  at("about").textContent = daemon ? `alived ${daemon.version}, up ${ago(daemon.started_unix_us)}, configuration ${daemon.configuration_hash}` : "";
  banners();
  summary(routers, servers);
  const wanted = at("filter").value.trim().toLowerCase();
  const matches = (of) => [of.name, of.state, String(of.vrid), ...of.addresses.map((one) => one.address)].some((text) => text.toLowerCase().includes(wanted));
  const shown = routers.filter(matches);
  const opened = routers.length <= OPEN_AT_FIRST;
  at("routers").replaceChildren(...shown.map((of) => router(of, opened)));
  at("routers-section").hidden = !routers.length;
  at("filter").hidden = routers.length < 4;
  at("groups").replaceChildren(...groups.map(group));
  at("groups-section").hidden = !groups.length;
  at("servers").replaceChildren(...servers.map((of) => virtual_server(of, servers.length <= OPEN_AT_FIRST)));
  at("servers-section").hidden = !servers.length;
  add_events(status.events ?? []);
}

let asking = false;
let again = false;

/** Asks for the state, once at a time and at most once a second. */
async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch("/status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    status = await answer.json();
    ahead_us = status.time_unix_us - Date.now() * 1000;
    show();
  } catch (error) {
    live(false, `no answer (${error.message})`);
  }
  setTimeout(() => {
    asking = false;
    if (again) {
      again = false;
      refresh();
    }
  }, 1000);
}

function live(good, text) {
  at("live").className = good ? "good" : "bad";
  at("live").textContent = text;
}

function follow() {
  const source = new EventSource("/events");
  source.addEventListener("open", () => {
    live(true, "live");
    refresh();
  });
  source.addEventListener("error", () => live(false, "connection lost, trying again"));
  source.addEventListener("tick", refresh);
  source.addEventListener("happened", (message) => {
    add_events([JSON.parse(message.data)]);
    refresh();
  });
}

at("filter").addEventListener("input", () => status && show());
refresh();
// "/?still" shows the state of this moment alone, for a printer or a screenshot.
if (new URLSearchParams(location.search).has("still")) {
  live(true, "as of now");
} else {
  follow();
}

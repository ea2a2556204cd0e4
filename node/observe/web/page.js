"use strict";
// The page shows what /v1 answers. It builds every node itself and never writes HTML from text it was given.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 900, HEIGHT = 560;
const state = { network: null, verdicts: new Map(), next: "", chosen: "", fit: "verdicts", fresh: "" };
const byId = (id) => document.getElementById(id);

function el(name, attrs = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attrs)) if (v !== undefined && v !== false) e.setAttribute(k, v);
  e.append(...children);
  return e;
}
function draw(name, attrs = {}, ...children) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

const OUTCOMES = { BREACH: "Breach", NO_BREACH: "No breach", INCONCLUSIVE: "Inconclusive" };
const REASONS = {
  CLOSE_TO_LINE: "The contact line lies within the uncertainty of the place.",
  SINGLE_NATION: "Only one nation's sensors heard it.",
  NOT_F_RESILIENT: "The finding would change if some nations' evidence were taken away.",
  CLASS_AMBIGUOUS: "It may not have been fire at all.",
  LOW_COVERAGE: "Too few sensors could have heard it.",
  EXCEPTION_CLAIMED: "An exception of the accord applies, such as an announced exercise.",
  MIRROR_SOLUTION: "A second place fits the measurements nearly as well.",
  NEAR_THRESHOLD: "A number lies too close to a threshold to decide.",
  NOT_FIRE: "The source was natural or civil, not fire.",
  OUTSIDE_ZONES: "No clause covers that place and time.",
  NOT_CONFIRMED: "A nation's own computation finds no such event.",
  DEADLINE: "The deadline passed before enough nations agreed.",
  NO_QUORUM: "Every nation has spoken and no finding has enough of them.",
  NOT_INDEPENDENT: "Too few nations had sealed their evidence before it could be copied.",
  ONE_MODALITY: "Too few kinds of sensor and too few nations.",
  NOT_REAL: "Only simulated or replayed detections.",
  OPERATOR: "A duty officer changed or declined the automatic finding.",
  POOR_FIT: "The measurements do not agree on one place and time.",
  QUIET_COVERAGE: "Sensors that should have heard it did not.",
  BELOW_LIKELIHOOD: "A factor lies below the accord's threshold.",
};

const partyName = (code) => (state.network?.parties.find((p) => p.code === code) || { name: code }).name;
const memberName = (code) => (state.network?.members?.find((m) => m.nation === code) || { name: code }).name;
const clauseText = (id) => state.network?.clauses.find((c) => c.id === id)?.text;
const clock = (t) => t.replace("T", " ").replace(/(\.\d)\d*Z$/, "$1Z").replace("Z", " UTC");
const degrees = (p) => `${(p.lat_e7 / 1e7).toFixed(5)}, ${(p.lon_e7 / 1e7).toFixed(5)}`;
const words = (s) => s.toLowerCase().replaceAll("_", " ");
const percent = (ppm) => (ppm >= 999_950 && ppm < 1e6 ? "over 99.9" : (ppm / 1e4).toFixed(1)) + " %";
const outcome = (v) => OUTCOMES[v.outcome] + (v.party ? ` by ${partyName(v.party)}` : "");
const newestFirst = () => [...state.verdicts.values()].sort((a, b) => b.index - a.index);

// mark draws a verdict's sign: shape and letter say what colour says.
function mark(x, y, v, superseded) {
  const g = draw("g", { class: `mark ${v.outcome}${superseded ? " superseded" : ""}`, transform: `translate(${x} ${y})` });
  g.append(draw("circle", { class: "halo", r: 18 }));
  if (v.outcome === "BREACH") {
    g.append(draw("path", { class: "shape", d: "M0 -14 L14 0 L0 14 L-14 0 Z" }), draw("text", { class: "letter", y: 5 }, v.party.slice(0, 2)));
  } else if (v.outcome === "NO_BREACH") {
    g.append(draw("circle", { class: "shape", r: 8 }));
  } else {
    g.append(draw("rect", { class: "shape", x: -11, y: -11, width: 22, height: 22, rx: 3 }), draw("text", { class: "letter", y: 5 }, "?"));
  }
  if (superseded) g.append(draw("path", { class: "strike", d: "M-14 10 L14 -10" }));
  return g;
}
const icon = (v, superseded) => draw("svg", { viewBox: "-19 -19 38 38", "aria-hidden": "true" }, mark(0, 0, v, superseded));

// projection fits places into the map: east and north in equal scale about the middle.
function projection(places) {
  let [s, w, n, e] = [90, 180, -90, -180];
  for (const p of places) {
    s = Math.min(s, p.lat_e7 / 1e7); n = Math.max(n, p.lat_e7 / 1e7);
    w = Math.min(w, p.lon_e7 / 1e7); e = Math.max(e, p.lon_e7 / 1e7);
  }
  const lat = (s + n) / 2, lon = (w + e) / 2, shrink = Math.max(Math.cos(lat * Math.PI / 180), 0.05), metres = 111_195;
  const across = Math.max((e - w) * shrink * metres * 1.25, 12_000), up = Math.max((n - s) * metres * 1.35, 7_500);
  const scale = Math.min(WIDTH / across, HEIGHT / up);
  return {
    scale,
    at: (p) => [WIDTH / 2 + (p.lon_e7 / 1e7 - lon) * shrink * metres * scale, HEIGHT / 2 - (p.lat_e7 / 1e7 - lat) * metres * scale],
  };
}
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(" ");

// thin drops vertices that fall on the same pixel: a published line has thousands.
const thin = (points) => points.filter(([x, y], i) => i === 0 || i === points.length - 1 || Math.hypot(x - points[i - 1][0], y - points[i - 1][1]) > 0.4);

// longestVisible is the middle of the longest stretch of a line inside the map, with the direction there.
function visibleMiddle(points) {
  let best = null;
  for (let i = 1; i < points.length; i++) {
    const [ax, ay] = points[i - 1], [bx, by] = points[i];
    const steps = Math.max(2, Math.min(64, Math.ceil(Math.hypot(bx - ax, by - ay) / 40)));
    for (let k = 0; k <= steps; k++) {
      const x = ax + (bx - ax) * k / steps, y = ay + (by - ay) * k / steps;
      if (x < 20 || y < 20 || x > WIDTH - 20 || y > HEIGHT - 20) continue;
      const off = Math.hypot(x - WIDTH * 0.22, y - HEIGHT / 2);
      if (!best || off < best.off) { const d = Math.hypot(bx - ax, by - ay) || 1; best = { off, x, y, dx: (bx - ax) / d, dy: (by - ay) / d }; }
    }
  }
  return best;
}
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

function drawMap() {
  const n = state.network, svg = byId("map");
  if (!n) return;
  const hadFocus = document.activeElement?.dataset?.id;
  const lines = n.lines.filter((l) => !l.until), zones = (n.zones || []).filter((z) => !z.until);
  const shown = newestFirst();
  let places = shown.map((v) => v.verdict.position);
  if (state.fit === "line" || !places.length) places = places.concat(lines.flatMap((l) => l.vertices), zones.flatMap((z) => z.ring));
  const to = projection(places);
  svg.replaceChildren();
  const labels = draw("g");
  for (const l of lines) {
    const points = thin(l.vertices.map(to.at)), d = path(points);
    const band = Math.max(6, 4 * l.sigma_mm / 1000 * to.scale);
    svg.append(draw("path", { class: "band", d, "stroke-width": band.toFixed(1) }, draw("title", {}, `Contact line, uncertain by ${(l.sigma_mm / 1000).toFixed(0)} m (the band is two sigma wide on each side)`)));
    svg.append(draw("path", { class: "contact", d }));
    const m = visibleMiddle(points);
    if (m) {
      // On the map y grows southward: left of the direction of travel is (dy, -dx).
      for (const [i, sign] of [[0, 1], [1, -1]]) {
        const x = clamp(m.x + m.dy * sign * 85, 130, WIDTH - 130), y = clamp(m.y - m.dx * sign * 85, 30, HEIGHT - 50);
        labels.append(draw("text", { class: "side", x, y }, `${n.parties[i].code} \u00b7 ${n.parties[i].name}`));
      }
    }
  }
  for (const z of zones) {
    const ring = z.ring.map(to.at), cx = ring.reduce((s, p) => s + p[0], 0) / ring.length, cy = ring.reduce((s, p) => s + p[1], 0) / ring.length;
    svg.append(draw("path", { class: "zone", d: path(ring) + " Z" }, draw("title", {}, `${z.name}: ${words(z.kind)} zone`)));
    labels.append(draw("text", { class: "zone-name", x: cx, y: cy }, `${z.name} (${words(z.kind)})`));
  }
  svg.append(labels, scaleBar(to.scale));
  for (const v of shown.slice().reverse()) {
    const superseded = v.status === "SUPERSEDED", [x, y] = to.at(v.verdict.position);
    if (x < -20 || y < -20 || x > WIDTH + 20 || y > HEIGHT + 20) continue;
    const g = mark(x.toFixed(1), y.toFixed(1), v.verdict, superseded), label = `${outcome(v.verdict)}${superseded ? ", superseded" : ""}, ${clock(v.verdict.time)}`;
    g.setAttribute("tabindex", "0"); g.setAttribute("role", "button"); g.setAttribute("aria-label", label); g.dataset.id = v.id;
    g.classList.toggle("chosen", v.id === state.chosen);
    g.append(draw("title", {}, label));
    g.addEventListener("click", () => choose(v.id));
    g.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); choose(v.id); } });
    svg.append(g);
    if (v.id === hadFocus) g.focus();
  }
}

function scaleBar(scale) {
  const raw = 150 / scale, step = 10 ** Math.floor(Math.log10(raw)), metres = [5, 2, 1].map((k) => k * step).find((k) => k <= raw) || step;
  const x = 24, y = HEIGHT - 24, w = metres * scale;
  return draw("g", {}, draw("path", { class: "scale", d: `M${x} ${y - 6} V${y} H${x + w} V${y - 6}` }),
    draw("text", { x: x + w + 10, y: y + 1 }, metres >= 1000 ? `${metres / 1000} km` : `${metres} m`),
    draw("text", { x: WIDTH - 40, y: 34 }, "N \u2191"));
}

function drawList() {
  const list = byId("list"), items = newestFirst(), hadFocus = list.contains(document.activeElement) ? document.activeElement.dataset.id : "";
  list.replaceChildren();
  for (const v of items) {
    const superseded = v.status === "SUPERSEDED";
    const button = el("button", { type: "button", "aria-current": v.id === state.chosen ? "true" : undefined },
      el("span", { class: "item-head" }, icon(v.verdict, superseded), el("span", { class: `word ${v.verdict.outcome}` }, outcome(v.verdict)),
        superseded ? el("span", { class: "tag" }, "SUPERSEDED") : "", el("span", { class: "when" }, clock(v.verdict.time))),
      el("span", { class: "item-sub" }, `${words(v.verdict.class)} \u00b7 ${v.likelihood} \u00b7 confidence ${v.verdict.confidence}`));
    button.dataset.id = v.id;
    button.addEventListener("click", () => choose(v.id));
    list.append(el("li", { class: `${superseded ? "superseded" : ""}${v.id === state.fresh ? " fresh" : ""}` }, button));
    if (v.id === hadFocus) button.focus();
  }
  state.fresh = "";
  byId("empty").hidden = items.length > 0;
  byId("empty").textContent = "No verdict is final yet. One appears here as soon as a quorum of nations has cosigned it.";
  byId("count").textContent = items.length ? `${items.length}${state.next ? " newest" : ""}` : "";
  byId("older").hidden = !state.next;
}

const nationList = (ks, text = (k) => k) => ks?.length
  ? el("ul", { class: "nations" }, ...ks.map((k) => el("li", { title: memberName(k.nation || k) }, text(k))))
  : el("p", { class: "quiet" }, "none");

function drawDetail() {
  const v = state.verdicts.get(state.chosen);
  if (!v) return;
  const x = v.verdict, stem = v.id.slice(0, 12), origin = location.origin, box = byId("detail");
  byId("detail-title").textContent = outcome(x);
  const meter = draw("svg", { class: "meter", viewBox: "0 0 100 7", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { class: "rail", width: 100, height: 7 }), draw("rect", { class: "fill", width: x.likelihood_ppm / 1e4, height: 7 }));
  box.replaceChildren(el("p", { class: "summary" }, x.summary));
  if (v.status === "SUPERSEDED") {
    box.append(el("p", { class: "problem" }, "This verdict was superseded by a later one with more evidence: ", verdictLink(v.superseded_by)));
  }
  if (v.standing) box.append(el("p", { class: "problem" }, "This is not the verdict on the event. The earlier one stands: ", verdictLink(v.standing)));
  if (x.amends) box.append(el("p", {}, "It supersedes an earlier verdict: ", verdictLink(x.amends)));
  box.append(el("div", { class: "pair" },
    el("div", {}, el("span", { class: "quiet" }, "Likelihood"), el("strong", {}, v.likelihood), percent(x.likelihood_ppm), meter),
    el("div", {}, el("span", { class: "quiet" }, "Confidence in the grounds"), el("strong", {}, x.confidence), x.outcome === "INCONCLUSIVE" ? "" : `stays the same without any ${x.resilience} of the nations it rests on`)));
  if (x.clause) box.append(el("h3", {}, `Clause ${x.clause}`), el("blockquote", {}, clauseText(x.clause) || "not in the accord this node runs under"));
  if (x.reasons?.length) box.append(el("h3", {}, "Why"), el("ul", {}, ...x.reasons.map((r) => el("li", {}, REASONS[r] || words(r)))));
  box.append(el("h3", {}, `Agree (${x.attesters?.length || 0} of ${state.network?.n ?? "?"}, ${state.network?.quorum ?? "?"} needed)`), nationList(x.attesters),
    el("h3", {}, "Dissent"), nationList(x.dissents, (d) => `${d.nation}: ${words(d.finding)}${d.party ? " by " + partyName(d.party) : ""}`),
    el("h3", {}, "Said nothing"), nationList(x.missing),
    ...(v.misbehaviour?.length ? [el("h3", {}, "On record about nations that attested"), el("ul", {}, ...v.misbehaviour.map((m) =>
      el("li", {}, `${m.text}. `, el("a", { href: `/v1/misbehaviour/${m.id}` }, "Proof"))))] : []),
    el("h3", {}, "Independent evidence, sealed before it could be copied"), nationList(x.independent),
    el("h3", {}, "When and where"),
    el("p", {}, `${clock(x.time)}, at ${degrees(x.position)}. Class: ${words(x.class)}. Sensed by: ${(x.modalities || []).map(words).join(", ") || "nothing"}.`),
    el("h3", {}, "Check it yourself"),
    el("p", { class: "links" }, el("a", { href: v.links.entry, download: `${stem}.entry` }, "Entry"), el("a", { href: v.links.proof, download: `${stem}.proof` }, "Proof"),
      el("a", { href: v.links.policy, download: `${stem}.policy` }, "Policy"), el("a", { href: v.links.incident }, "Incident and attestations")),
    el("pre", { tabindex: "0", "aria-label": "Commands that check this verdict offline" },
      `curl -so ${stem}.entry ${origin}${v.links.entry}\ncurl -so ${stem}.proof ${origin}${v.links.proof}\ncurl -so ${stem}.policy ${origin}${v.links.policy}\ntruceline verdict verify ${stem}.entry ${stem}.proof ${stem}.policy`),
    el("p", { class: "quiet" }, "The last command needs no network. Take the policy from somebody you trust, not from this server."),
    el("p", { class: "quiet" }, `Ledger entry ${v.index}, id ${v.id}`));
}

function verdictLink(id) {
  const b = el("button", { type: "button" }, id.slice(0, 12));
  b.addEventListener("click", () => choose(id));
  return b;
}

async function choose(id) {
  if (!state.verdicts.has(id)) {
    try { take(await ask(`/v1/verdicts/${id}`)); } catch { return; }
  }
  state.chosen = id;
  history.replaceState(null, "", "#" + id);
  drawMap(); drawList(); drawDetail();
}

function drawNetwork() {
  const n = state.network, d = n.node, away = n.members.filter((m) => !m.connected);
  document.title = `${n.exercise ? "EXERCISE: " : ""}${n.name} - Truceline verdicts`;
  byId("name").textContent = n.name;
  byId("exercise").hidden = !n.exercise;
  const margin = d.margin < 0 ? `${-d.margin} too few: nothing becomes final` : d.margin === 0 ? "none: no more may fail" : `${d.margin} more may fail`;
  const facts = [["Answering node", memberName(d.nation)], ["Nations", `${n.n}, quorum ${n.quorum}, up to ${n.f} may lie`], ["Connected", `${n.members.length - away.length} of ${n.n}`],
    ["Margin", margin], ["Height", d.height], ["Final size", d.final_size], ["Shown to observers", d.cosigned_size], ["Ledger time", clock(d.ledger_time)], ["Accord", n.accord.slice(0, 12)]];
  if (d.equivocators?.length) facts.push(["Voted two ways", d.equivocators.join(", ")]);
  if (d.contradicting?.length) facts.push(["Contradicted themselves", d.contradicting.join(", ")]);
  byId("facts").replaceChildren(...facts.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))]));
  byId("members").replaceChildren(...n.members.map((m) => el("li", { class: m.connected ? undefined : "away" }, `${m.connected ? "\u2713" : "\u2717"} ${m.name}${m.connected ? "" : " (missing)"}`)));
  byId("problem").hidden = !d.problem;
  byId("problem").textContent = d.problem ? `This node says: ${d.problem}.` : "";
}

function drawLegend() {
  const sign = (o, party, text, superseded) => el("li", {}, icon({ outcome: o, party }, superseded), text);
  byId("legend").replaceChildren(...state.network.parties.map((p) => sign("BREACH", p.code, `Breach by ${p.name}`)),
    sign("NO_BREACH", "", "No breach"), sign("INCONCLUSIVE", "", "Inconclusive"), sign("INCONCLUSIVE", "", "Struck: superseded", true),
    el("li", {}, "Dashed line: contact line, with its uncertainty"));
}

async function ask(at) {
  const r = await fetch(at, { headers: { Accept: "application/json" } });
  if (!r.ok) throw new Error(`${at}: ${r.status}`);
  return r.json();
}

function take(v) {
  state.verdicts.set(v.id, v);
  const old = v.verdict.amends && state.verdicts.get(v.verdict.amends);
  if (old) { old.status = "SUPERSEDED"; old.superseded_by = v.id; }
}

async function loadVerdicts(at, keepNext) {
  const page = await ask(at);
  for (const v of page.verdicts.slice().reverse()) take(v);
  if (!keepNext) state.next = page.next || "";
  drawList(); drawMap();
}

async function refreshNetwork() {
  if (document.hidden) return;
  try {
    const before = state.network?.accord;
    state.network = await ask("/v1/network");
    drawNetwork();
    if (before !== state.network.accord) { drawLegend(); drawMap(); drawList(); drawDetail(); }
  } catch { live(false, "Node does not answer"); }
}

function live(on, text) {
  const e = byId("live");
  e.className = "live " + (on ? "on" : "off");
  if (e.textContent !== text) e.textContent = text;
}

function listen() {
  const events = new EventSource("/v1/stream");
  // What became final between the list and the stream is fetched once the stream is open.
  events.addEventListener("open", () => { live(true, "Live"); loadVerdicts("/v1/verdicts", state.verdicts.size > 0).catch(() => live(false, "List is out of date")); });
  events.addEventListener("verdict", (e) => {
    const v = JSON.parse(e.data);
    take(v);
    state.fresh = v.id;
    live(true, `Live: ${outcome(v.verdict)}`);
    drawList(); drawMap(); drawDetail();
  });
  events.addEventListener("error", () => {
    live(false, "Connection lost, trying again");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 10_000);
  });
}

function fit(how) {
  state.fit = how;
  byId("fit-line").setAttribute("aria-pressed", how === "line");
  byId("fit-verdicts").setAttribute("aria-pressed", how === "verdicts");
  drawMap();
}

async function start() {
  byId("fit-line").addEventListener("click", () => fit("line"));
  byId("fit-verdicts").addEventListener("click", () => fit("verdicts"));
  byId("older").addEventListener("click", () => loadVerdicts(state.next).catch(() => live(false, "Node does not answer")));
  await refreshNetwork();
  await loadVerdicts("/v1/verdicts").catch(() => live(false, "Node does not answer"));
  const wanted = /^#[0-9a-f]{64}$/.test(location.hash) ? location.hash.slice(1) : newestFirst()[0]?.id;
  if (wanted) await choose(wanted);
  listen();
  setInterval(refreshNetwork, 5000);
}
start();

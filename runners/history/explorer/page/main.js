// Which view is shown: by what stands behind # in the address, so that back and forward work and links can be kept.
"use strict";
const main = {
  views: [["runs", "Runs"], ["time", "Metrics over time"], ["versions", "Versions"]],
  async render() {
    const place = document.getElementById("main");
    const [view = "runs", ...given] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
    const turn = main.turn = {};
    const moved = main.last !== undefined && main.last !== location.hash;
    main.last = location.hash;
    document.getElementById("views").replaceChildren(...main.views.map(([name, title]) => h("a", { href: route(name), "aria-current": name === view ? "page" : null }, title)));
    let made;
    try {
      made = await main.view(view, given);
    } catch (error) {
      made = section("Not to be shown", h("p", { class: "verdict bad-box" }, error.message), h("p", {}, h("a", { href: route("runs") }, "All runs")));
    }
    if (main.turn !== turn) return;
    place.replaceChildren(made);
    const title = made.querySelector("h2")?.textContent || "Runs";
    place.setAttribute("aria-label", title);
    document.title = `${title} · Millrace explorer`;
    if (view === "lineage" && lineageView.drawn) lineageView.drawn();
    if (moved) {
      if (!place.contains(document.activeElement)) place.focus({ preventScroll: view === "lineage" });
      if (view !== "lineage") scrollTo(0, 0);
      say(title);
    }
  },
  async view(view, given) {
    const many = async ids => {
      const unknownOne = ids.find(id => !millrace.runs.has(id));
      if (unknownOne !== undefined) throw new Error(`${unknownOne}: there is no such run here`);
      return Promise.all(ids.map(millrace.detail));
    };
    if (view === "run") return runView((await many(given.slice(0, 1)))[0]);
    if (view === "compare") return compareView(await many([...new Set(given)]));
    if (view === "time") return timeView(given[0], given[1]);
    if (view === "versions") return versionsView();
    if (view === "lineage") {
      if (main.lineageOf !== given[0]) shownRuns.clear();
      main.lineageOf = given[0];
      return lineageView(given[0], given[1], await many([given[0], ...[...shownRuns].filter(each => each !== given[0])]));
    }
    return runsView();
  },
  begin() {
    if (!millrace.prepare()) {
      document.getElementById("main").replaceChildren(section("Nothing to show", h("p", {}, "index.js is not there or damaged; ", h("code", {}, "./millrace explore"), " writes it anew.")));
      return;
    }
    document.getElementById("place").replaceChildren(`${millrace.index.place}, written `, moment(millrace.index.written));
    document.getElementById("skip").addEventListener("click", event => { event.preventDefault(); document.getElementById("main").focus(); });
    addEventListener("hashchange", main.render);
    main.render();
  },
};
function decoded(text) { try { return decodeURIComponent(text); } catch { return text; } }
main.begin();

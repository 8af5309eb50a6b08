"use strict";
(() => {
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const tip = document.getElementById("tip");
  const state = new URLSearchParams(location.hash.slice(1));
  const save = () => history.replaceState(null, "", state.size ? "#" + state : location.pathname + location.search);

  // Marks and rows of one case, by its name: what stands before the first colon of a mark's label.
  const cases = new Map();
  const put = (name, element) => cases.set(name, [...(cases.get(name) || []), element]);
  all("figure tbody tr").forEach((row) => (row.dataset.case = row.cells[0].textContent));
  all("[data-case]").forEach((row) => put(row.dataset.case, row));
  const marks = all("figure svg [aria-label]").filter((mark) => mark.getAttribute("aria-label").includes(": "));
  marks.forEach((mark) => {
    mark.case = mark.getAttribute("aria-label").split(": ")[0];
    put(mark.case, mark);
  });
  const caseOf = (element) => {
    const found = element.closest && element.closest("[data-case],[aria-label]");
    return found ? found.dataset.case || found.case : undefined;
  };
  const highlight = (name) => {
    all(".on").forEach((element) => element.classList.remove("on"));
    all("svg.dim").forEach((svg) => svg.classList.remove("dim"));
    (cases.get(name) || []).forEach((element) => {
      element.classList.add("on");
      if (element.ownerSVGElement) element.ownerSVGElement.classList.add("dim");
    });
  };
  const show = (mark, x, y) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - tip.offsetHeight - 8)) + "px";
  };
  document.addEventListener("pointermove", (event) => {
    const name = caseOf(event.target);
    highlight(name || state.get("case"));
    const mark = event.target.closest && event.target.closest("svg [aria-label]");
    if (mark && mark.case) show(mark, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("button,summary,a,th")) return;
    const name = caseOf(event.target);
    if (name && name !== state.get("case")) state.set("case", name);
    else state.delete("case");
    highlight(state.get("case"));
    save();
  });

  // One tab stop for each picture; arrows go from mark to mark.
  all("figure svg").forEach((svg) => {
    const own = marks.filter((mark) => mark.ownerSVGElement === svg);
    own.forEach((mark, place) => {
      mark.setAttribute("tabindex", place ? "-1" : "0");
      mark.addEventListener("focus", () => {
        const box = mark.getBoundingClientRect();
        highlight(mark.case);
        show(mark, box.right, box.bottom);
      });
      mark.addEventListener("blur", () => (tip.hidden = true));
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        own[(place + step + own.length) % own.length].focus();
      });
    });
  });

  // Chips: a case is shown while each of its values is pressed. Values of a case are read from the table of all records.
  const records = document.getElementById("records");
  const titles = records ? all("thead th", records).map((cell) => cell.textContent) : [];
  const values = new Map();
  if (records)
    all("tbody tr", records).forEach((row) => {
      row.values = Object.fromEntries(titles.map((title, place) => [title, row.cells[place].textContent]));
      if (row.dataset.case) values.set(row.dataset.case, row.values);
    });
  const filter = () => {
    const off = all("nav button[aria-pressed=false]").map((button) => [button.dataset.filter, button.dataset.value]);
    const hidden = (of) => off.some(([name, value]) => of[name] === value);
    cases.forEach((elements, name) => {
      const gone = values.has(name) && hidden(values.get(name));
      elements.forEach((element) => element.classList.toggle("off", gone && element.tagName !== "TD"));
    });
    if (records) all("tbody tr", records).forEach((row) => row.classList.toggle("off", hidden(row.values)));
    state.delete("off");
    off.forEach((pair) => state.append("off", pair.join("=")));
    save();
  };
  const nav = document.getElementById("filters");
  if (nav) {
    nav.hidden = false;
    const off = state.getAll("off");
    all("button", nav).forEach((button) => {
      if (off.includes(button.dataset.filter + "=" + button.dataset.value)) button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
        filter();
      });
    });
    filter();
  }

  // Sorting by what a cell says: a number with its prefix and unit, else text.
  const prefix = { n: 1e-9, "µ": 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };
  const number = (text) => {
    const found = text.match(/^[±~<>]?(-?[\d.]+)(?: ?(Ki|Mi|Gi|[nµmkMGT])?(?:s|B|J|FLOP\/s|\/s)?\b)?/);
    return found && /^[±~<>]?-?\d/.test(text) ? Number(found[1]) * (prefix[found[2]] || 1) : NaN;
  };
  all("table:not(.matrix)").forEach((table, index) => {
    const heads = all("thead th", table);
    const sort = (place, direction) => {
      const key = (row) => row.cells[place].textContent;
      const rows = all("tbody tr", table).sort((one, two) => {
        const [a, b] = [number(key(one)), number(key(two))];
        if (isNaN(a) !== isNaN(b)) return isNaN(a) ? 1 : -1;
        return direction * (isNaN(a) ? key(one).localeCompare(key(two)) : a - b);
      });
      table.tBodies[0].append(...rows);
      heads.forEach((head, other) => head.setAttribute("aria-sort", other !== place ? "none" : direction > 0 ? "ascending" : "descending"));
    };
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        sort(place, direction);
        state.set("sort" + index, place + "," + direction);
        save();
      });
    });
    const wanted = (state.get("sort" + index) || "").split(",").map(Number);
    if (wanted.length === 2 && heads[wanted[0]]) sort(...wanted);

    const cell = (text) => (/[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
    const save_as = document.createElement("button");
    save_as.className = "tool";
    save_as.type = "button";
    save_as.textContent = "CSV";
    save_as.addEventListener("click", () => {
      const lines = all("tr:not(.off)", table).map((row) => [...row.cells].map((each) => cell(each.textContent)).join(","));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      link.download = (table.id || (table.closest("figure") || {}).id || "table") + ".csv";
      link.click();
      URL.revokeObjectURL(link.href);
    });
    table.parentElement.before(save_as);
  });
  addEventListener("beforeprint", () => all("details").forEach((details) => (details.open = true)));
  highlight(state.get("case"));
})();

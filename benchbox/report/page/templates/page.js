"use strict";
(() => {
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const tip = document.getElementById("tip");
  // An address without "=" is that of a picture.
  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
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
  const keep = (name) => {
    if (name && name !== state.get("case")) state.set("case", name);
    else state.delete("case");
    highlight(state.get("case"));
    save();
  };
  document.addEventListener("pointermove", (event) => {
    const name = caseOf(event.target);
    highlight(name || state.get("case"));
    const mark = event.target.closest && event.target.closest("svg [aria-label]");
    if (mark && mark.case) show(mark, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link) {
      event.preventDefault(); // the address keeps the view
      document.querySelector(link.hash).scrollIntoView();
    }
    if (!event.target.closest("button,summary,a,th,label,dialog")) keep(caseOf(event.target));
  });

  // One tab stop for each picture; arrows go from mark to mark.
  all("figure svg").forEach((svg) => {
    const own = marks.filter((mark) => mark.ownerSVGElement === svg);
    own.forEach((mark, place) => {
      mark.setAttribute("role", "img");
      mark.setAttribute("tabindex", place ? "-1" : "0");
      mark.addEventListener("focus", () => {
        const box = mark.getBoundingClientRect();
        highlight(mark.case);
        show(mark, box.right, box.bottom);
      });
      mark.addEventListener("blur", () => (tip.hidden = true));
      mark.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          keep(mark.case);
        }
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
  // A matrix loses the columns of which no case is left, and its groups of columns shrink.
  const matrices = all("table.matrix").map((table) => {
    const rows = all("tbody tr", table);
    const tops = all("thead tr", table).map((row, level) => all("th", row).slice(level ? 0 : 1));
    const spans = tops.map((heads) => heads.map((head) => head.colSpan));
    return (isGone) => {
      const column = (place) => rows.map((row) => row.cells[place + 1]);
      const gone = tops.at(-1).map((_, place) => column(place).every((cell) => !cell.dataset.case || isGone(cell.dataset.case)));
      gone.forEach((is, place) => column(place).forEach((cell) => cell.classList.toggle("off", is)));
      tops.forEach((heads, level) => {
        let from = 0;
        heads.forEach((head, place) => {
          const left = gone.slice(from, (from += spans[level][place])).filter((is) => !is).length;
          head.classList.toggle("off", !left);
          head.colSpan = left || 1;
        });
      });
    };
  });
  let limits = [];
  const filter = () => {
    const off = all("nav button[aria-pressed=false]").map((button) => [button.dataset.filter, button.dataset.value]);
    const hidden = (of) => off.some(([name, value]) => of[name] === value);
    const isGone = (name) => values.has(name) && hidden(values.get(name));
    cases.forEach((elements, name) => {
      const gone = isGone(name);
      elements.forEach((element) => element.classList.toggle("off", gone && element.tagName !== "TD"));
    });
    matrices.forEach((update) => update(isGone));
    limits.forEach((update) => update());
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
      const lines = all("tr:not(.off,.no)", table).map((row) => [...row.cells].map((each) => cell(each.textContent)).join(","));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      link.download = (table.id || (table.closest("figure") || {}).id || "table") + ".csv";
      link.click();
      URL.revokeObjectURL(link.href);
    });
    table.parentElement.before(save_as);
  });
  // Limits: what misses one is pale in its picture and hidden in its data; the bounds of intervals count, as in choose.
  const words = (value, unit) => {
    if (unit === "%") return (100 * value).toFixed(1) + " %";
    if (unit === "B") return Math.round(value / 2 ** 20) + " MiB";
    const [by, name] = value >= 1 ? [1, "s"] : value >= 1e-3 ? [1e-3, "ms"] : [1e-6, "µs"];
    return Number((value / by).toPrecision(2)) + " " + name;
  };
  const grain = { "%": (value) => Math.round(1000 * value) / 1000, B: (value) => Math.round(value / 2 ** 20) * 2 ** 20, s: (value) => Number(value.toPrecision(2)) };
  limits = all(".limits").map((box, place) => {
    box.hidden = false;
    const figure = box.closest("figure"), svg = figure.querySelector("svg");
    const rows = all("[data-bounds]", figure);
    rows.forEach((row) => (row.bounds = row.dataset.bounds.split(" ").map(Number)));
    const sliders = all("input", box).map((input) => {
      const { name, unit, most } = input.dataset, [low, high] = [Number(input.dataset.low), Number(input.dataset.high)];
      const linear = unit === "%", key = name + (place || ""), kept = Number(state.get(key));
      const share = (value) => (linear ? (value - low) / (high - low) : Math.log(value / low) / Math.log(high / low));
      if (kept) input.value = Math.round(100 * share(kept));
      const limit = () => {
        const at = input.value / 100;
        return at === (most ? 1 : 0) ? null : grain[unit](linear ? low + at * (high - low) : low * (high / low) ** at);
      };
      return { ...input.dataset, input, key, share, limit };
    });
    const beyond = document.createElementNS("http://www.w3.org/2000/svg", "g");
    beyond.setAttribute("class", "beyond");
    beyond.setAttribute("pointer-events", "none");
    const first = marks.find((mark) => mark.ownerSVGElement === svg);
    if (first) first.parentNode.before(beyond);
    const [width, height] = ["x", "y"].map((axis) => Number(sliders.find((one) => one.axis === axis).length));
    const update = () => {
      const set = sliders.map((one) => one.limit());
      let drawn = "", asked = "";
      sliders.forEach((one, index) => {
        const limit = set[index], text = limit === null ? "any" : words(limit, one.unit);
        one.input.nextElementSibling.textContent = text;
        one.input.setAttribute("aria-valuetext", text);
        limit === null ? state.delete(one.key) : state.set(one.key, limit);
        if (limit === null) return;
        asked += ` --${one.name} '${one.most ? "<=" : ">="} ${text}'`;
        const at = Math.round(Math.min(1, Math.max(0, one.share(limit))) * one.length);
        const fill = `fill="url(#beyond${place})"`;
        if (one.axis === "x") drawn += `<rect x="${at}" width="${width - at}" height="${height}" ${fill}/><path d="M${at},0v${height}"/>`;
        if (one.axis === "y") drawn += `<rect y="${height - at}" width="${width}" height="${at}" ${fill}/><path d="M0,${height - at}h${width}"/>`;
      });
      beyond.innerHTML = drawn && `<pattern id="beyond${place}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line y2="7"/></pattern>` + drawn;
      const left = rows.filter((row) => {
        const met = set.every((limit, index) => limit === null || (sliders[index].most ? row.bounds[index] <= limit : row.bounds[index] >= limit));
        row.classList.toggle("no", !met);
        (cases.get(row.dataset.case) || []).forEach((mark) => mark.ownerSVGElement === svg && mark.classList.toggle("no", !met));
        return met && !row.classList.contains("off");
      });
      const best = left.length ? sliders.map((one) => {
        const cells = left.map((row) => row.cells[one.column]);
        const sign = one.most ? 1 : -1, key = (cell) => sign * number(cell.textContent) || Infinity;
        const found = cells.reduce((a, b) => (key(b) < key(a) ? b : a));
        return `${one.best}: ${found.parentNode.dataset.case} (${found.textContent})`;
      }) : [];
      const says = box.querySelector("p");
      says.textContent = asked && `${left.length} of ${rows.filter((row) => !row.classList.contains("off")).length} cases meet ${best.length ? "this. " : "this."}${best.join("; ")}${best.length ? ". " : " "}To be judged: `;
      if (asked) says.append(Object.assign(document.createElement("code"), { textContent: "benchbox choose" + asked }));
    };
    box.addEventListener("input", update);
    box.addEventListener("change", save);
    update();
    return update;
  });

  const [help, keys] = ["help", "keys"].map((name) => document.getElementById(name));
  help.hidden = false;
  help.addEventListener("click", () => keys.showModal());
  addEventListener("keydown", (event) => event.key === "?" && !keys.open && keys.showModal());
  addEventListener("beforeprint", () => all("details").forEach((details) => (details.open = true)));
  highlight(state.get("case"));
})();

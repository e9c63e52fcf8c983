"use strict";
// The page works without this script, which adds keyboard moves, facts beside the pointer, and the day table.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  // The calendar: all dates in order, across the years' grids.
  const cells = [];
  for (const grid of [...document.querySelectorAll(".year table")].reverse()) {
    const rows = [...grid.rows].slice(1);
    for (let week = 1; week < rows[0].cells.length; week += 1) {
      for (const row of rows) {
        if (row.cells[week].hasAttribute("aria-label")) cells.push(row.cells[week]);
      }
    }
  }
  const place = new Map(cells.map((cell, at) => [cell, at]));
  let current = cells.find((cell) => cell.tabIndex === 0);

  function show(cell) {
    const label = cell.getAttribute("aria-label");
    const colon = label.indexOf(": ");
    const head = document.createElement("b");
    head.textContent = label.slice(0, colon);
    tip.replaceChildren(head, label.slice(colon + 2));
    tip.hidden = false;
    const at = cell.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const room = document.documentElement.clientWidth;
    const above = at.top - height - 8;
    tip.style.left = `${Math.max(8, Math.min(at.left + at.width / 2 - width / 2, room - width - 8))}px`;
    tip.style.top = `${above > 8 ? above : at.bottom + 8}px`;
  }

  function hide() {
    tip.hidden = true;
  }

  function follow() {
    if (tip.hidden) return;
    if (document.activeElement === current) show(current);
    else hide();
  }

  function go(at) {
    const cell = cells[Math.max(0, Math.min(at, cells.length - 1))];
    current.tabIndex = -1;
    current = cell;
    cell.tabIndex = 0;
    cell.focus();
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    show(cell);
  }

  function endOfYear(cell, step) {
    const grid = cell.closest("table");
    let at = place.get(cell);
    while (cells[at + step] && cells[at + step].closest("table") === grid) at += step;
    return at;
  }

  const steps = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7, PageUp: -28, PageDown: 28 };
  const calendar = document.querySelector(".years");
  if (calendar) {
    calendar.addEventListener("keydown", (event) => {
      const at = place.get(event.target);
      if (event.key === "Escape") hide();
      if (at === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key in steps) go(at + steps[event.key]);
      else if (event.key === "Home") go(endOfYear(event.target, -1));
      else if (event.key === "End") go(endOfYear(event.target, 1));
      else return;
      event.preventDefault();
    });
    calendar.addEventListener("pointerover", (event) => (place.has(event.target) ? show(event.target) : hide()));
    calendar.addEventListener("pointerleave", hide);
    calendar.addEventListener("pointerdown", (event) => {
      if (place.has(event.target)) go(place.get(event.target));
    });
    calendar.addEventListener("focusin", (event) => place.has(event.target) && show(event.target));
    calendar.addEventListener("focusout", hide);
    // In the capture phase, because the box scrolls too.
    document.addEventListener("scroll", follow, { capture: true, passive: true });
  }

  // Numbers in the page's format.
  const whole = (value) => Math.round(value).toLocaleString("en-US");
  function size(value) {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
    return `${value >= 100 || unit === 0 ? whole(value) : value.toFixed(1)} ${units[unit]}`;
  }
  const seconds = (value) => `${value >= 100 ? whole(value) : Number(value.toPrecision(3))} s`;
  const told = (value, words) => (value === null || value === undefined ? "not recorded" : words(value));

  // The bars: the period at the pointer, beside the title.
  for (const figure of document.querySelectorAll(".chart")) {
    const path = JSON.parse(figure.dataset.path);
    const words = { bytes_a_day: size, seconds }[path[0]] || whole;
    const isByRule = path[0] === "rejected" || path[0] === "warnings";
    const output = figure.querySelector("output");
    const marker = figure.querySelector(".marker");
    const svg = figure.querySelector("svg");
    const summary = output.textContent;
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      const at = Math.max(0, Math.min(data.periods.length - 1, Math.floor(share * data.periods.length)));
      let value = data.periods[at];
      for (const step of path) value = value && (value[step] ?? (isByRule && step !== path[0] ? 0 : null));
      output.textContent = `${data.periods[at].name}: ${told(value, words)}`;
      marker.setAttribute("d", `M${at} 0h1v100h-1z`);
    });
    svg.addEventListener("pointerleave", () => {
      output.textContent = summary;
      marker.setAttribute("d", "");
    });
  }

  // The day table, a year at a time.
  const days = byId("days");
  if (!days) return;
  const select = document.createElement("select");
  for (const year of [...new Set(data.days.date.map((day) => day.slice(0, 4)))].reverse()) {
    select.add(new Option(year, year));
  }
  const label = document.createElement("label");
  label.append("Year", select);
  const box = document.createElement("div");
  box.className = "scroll";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Day by day");
  days.replaceChildren(label, box);

  function fill() {
    const found = data.days;
    const table = document.createElement("table");
    const stages = Object.keys(found.seconds);
    const head = table.createTHead().insertRow();
    for (const title of ["Date", "State", "Rows", "Parquet", "Rejected", "Warnings", ...stages]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = title;
      head.append(cell);
    }
    const body = table.createTBody();
    found.date.forEach((day, at) => {
      if (!day.startsWith(select.value)) return;
      const row = body.insertRow();
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = day;
      row.append(name);
      row.insertCell().textContent = { lake: "lake only" }[found.state[at]] || found.state[at];
      const numbers = [
        [found.rows[at], whole], [found.bytes[at], size],
        [found.rejected_in_all[at], whole], [found.warnings_in_all[at], whole],
        ...stages.map((stage) => [found.seconds[stage][at], seconds]),
      ];
      for (const [value, words] of numbers) {
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = value === null ? "–" : words(value);
      }
    });
    box.replaceChildren(table);
  }
  select.addEventListener("change", fill);
  days.closest("details").addEventListener("toggle", fill, { once: true });
})();

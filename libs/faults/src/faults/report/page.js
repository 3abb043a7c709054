// Shows one scenario's counts in the matrix; without it the page shows all of them together.
(() => {
  const data = JSON.parse(document.getElementById("matrix").textContent);
  const select = document.getElementById("scenario");
  const shades = [1, 4, 16, 64, 256];
  const rows = [...document.querySelectorAll("tr[data-place]")];
  const all = rows.map((row) => row.innerHTML);
  const short = (n) =>
    n < 1000 ? `${n}` : n < 9950 ? `${(n / 1000).toFixed(1)}k` : `${Math.round(n / 1000)}k`;

  const fill = (cell, fault, count) => {
    if (count > 0) {
      cell.className = `shade${shades.filter((least) => count >= least).length}`;
      cell.textContent = short(count);
      cell.title = `${fault}: ${count} runs`;
    } else {
      cell.className = count < 0 ? "stood" : "untested";
      cell.textContent = count < 0 ? "·" : "○";
      cell.title = `${fault}: ${count < 0 ? "another fault stands for it" : "not tested"}`;
    }
  };
  const faults = [...document.querySelectorAll(".matrix thead tr")[0]?.querySelectorAll("abbr") ?? []]
    .map((each) => each.textContent.replace(" ", "_"));

  const show = () => {
    const places = data[select.value];
    rows.forEach((row, index) => {
      row.innerHTML = all[index];
      row.hidden = false;
      if (!places) return;
      const offered = places[row.dataset.place];
      row.hidden = !offered;
      if (!offered) return;
      const cells = [...row.querySelectorAll("td")];
      cells.forEach((cell) => {
        cell.className = "never";
        cell.textContent = "";
        cell.removeAttribute("title");
      });
      offered.forEach(([fault, count]) => fill(cells[fault], faults[fault], count));
    });
    document.querySelectorAll(".process").forEach((section) => {
      section.hidden = !section.querySelector("tr[data-place]:not([hidden])");
    });
  };
  document.getElementById("filter").hidden = false;
  select.addEventListener("change", show);
  window.addEventListener("beforeprint", () =>
    document.querySelectorAll("details").forEach((each) => { each.open = true; }));
  show();
})();

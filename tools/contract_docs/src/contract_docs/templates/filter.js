// Hides the messages that do not match; without it all are shown and the form is not.
const form = document.querySelector(".filter");
const rows = [...document.querySelectorAll(".messages tbody tr")];
const texts = rows.map((row) => `${row.textContent} ${row.dataset.words}`.toLowerCase());
const show = () => {
  const words = form.querySelector("#filter").value.toLowerCase().split(/\s+/);
  const kinds = [...form.querySelectorAll(":checked")].map((box) => box.value);
  let shown = 0;
  rows.forEach((row, index) => {
    const matches = words.every((word) => texts[index].includes(word));
    row.hidden = !(matches && kinds.includes(row.dataset.kind));
    shown += row.hidden ? 0 : 1;
  });
  form.querySelector("output").textContent = `${shown} of ${rows.length}`;
};
form.hidden = false;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
show();

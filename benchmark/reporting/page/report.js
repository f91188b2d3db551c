// Sorting and filtering of the leaderboard, the theme, copying and printing. Without this script the tables still stand.

function startBoard() {
  const form = find('#filters'), body = find('#board tbody'), heads = all('#board thead th'), rows = all('tr', body);
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const nothing = make('tr', { hidden: '' }, make('td', { colspan: heads.length, class: 'empty' }, 'Nothing has all of these.'));
  body.append(nothing);

  function keyOf(row, column, kind) {
    const cell = row.children[column];
    if (kind === 'text') return cell.textContent.trim();
    return cell.dataset.v === '' ? null : Number(cell.dataset.v);
  }
  function sort(head, direction) {
    const column = heads.indexOf(head), kind = head.dataset.kind, sign = direction === 'ascending' ? 1 : -1;
    const keys = new Map(rows.map((row) => [row, keyOf(row, column, kind)]));
    rows.sort((one, two) => {
      const first = keys.get(one), second = keys.get(two);
      if (first === null || second === null) return (first === null) - (second === null);  // unknown is last, both ways
      return sign * (kind === 'text' ? first.localeCompare(second, 'en', { numeric: true }) : first - second);
    });
    body.append(...rows, nothing);
    heads.forEach((other) => other.setAttribute('aria-sort', other === head ? direction : 'none'));
  }
  function filter() {
    const { text, correction, ...wanted } = Object.fromEntries(new FormData(form));
    const pieces = text.toLowerCase().split(/\s+/).filter(Boolean);
    let numShown = 0;
    for (const row of rows) {
      const fits = Object.entries(wanted).every(([name, value]) => !value || row.dataset[name] === value)
        && pieces.every((piece) => words.get(row).includes(piece));
      row.hidden = !fits;
      numShown += fits;
    }
    nothing.hidden = numShown > 0;
    find('#count').textContent = `${numShown} of ${rows.length} rows`;
  }
  function correct() {
    const chosen = form.elements.correction.value;
    for (const cell of all('.p', body)) {
      cell.dataset.v = cell.dataset[chosen];
      cell.textContent = pValue(cell.dataset.v === '' ? null : Number(cell.dataset.v));
    }
    const sorted = heads.find((head) => head.getAttribute('aria-sort') !== 'none');
    if (sorted) sort(sorted, sorted.getAttribute('aria-sort'));
  }

  for (const head of heads) {
    const button = make('button', { type: 'button' }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const now = head.getAttribute('aria-sort'), usual = head.dataset.kind === 'text' || head === heads[6] ? 'ascending' : 'descending';
      const other = usual === 'ascending' ? 'descending' : 'ascending';
      sort(head, now === usual ? other : usual);
    });
  }
  form.hidden = false;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', filter);
  form.elements.correction.addEventListener('change', correct);
  filter();
  correct();
}

function startTheme() {
  const button = find('#theme'), system = matchMedia('(prefers-color-scheme: dark)'), root = document.documentElement;
  const kept = (value) => {  // a browser may forbid storage to files
    try { if (value) localStorage.setItem('theme', value); return localStorage.getItem('theme'); } catch { return null; }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const show = () => button.setAttribute('aria-pressed', String(isDark()));
  const before = kept();
  if (before === 'dark' || before === 'light') root.dataset.theme = before;
  button.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; kept(root.dataset.theme); show(); });
  system.addEventListener('change', show);
  button.hidden = false;
  show();
}

function startCopying() {
  for (const button of all('[data-copy]')) {
    button.hidden = false;
    button.addEventListener('click', () => copyText(document.getElementById(button.dataset.copy)));
  }
}

function startPrinting() {
  let opened = [];
  const before = () => {
    for (const details of all('main details')) {
      if (details.classList.contains('matrix')) drawMatrix(details);
      if (!details.open) { details.open = true; opened.push(details); }
    }
  };
  const after = () => { opened.forEach((details) => { details.open = false; }); opened = []; };
  window.addEventListener('beforeprint', before);
  window.addEventListener('afterprint', after);
  const print = matchMedia('print');
  print.addEventListener('change', () => (print.matches ? before() : after()));
  if (print.matches) before();
}

function startContents() {
  const header = find('.top'), button = find('#contents'), links = all('.top a');
  const show = (open) => { header.classList.toggle('open', open); button.setAttribute('aria-expanded', String(open)); };
  header.classList.add('scripted');
  button.hidden = false;
  button.addEventListener('click', () => show(!header.classList.contains('open')));
  links.forEach((link) => link.addEventListener('click', () => show(false)));
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') show(false); });
  const sections = links.map((link) => find(link.getAttribute('href')));
  const follow = () => {  // the last section that begins above a third of the window; at the page's end, the one that was asked for
    let passed = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3).length;
    if (innerHeight + scrollY >= document.documentElement.scrollHeight - 2) {
      const target = sections.findIndex((section) => `#${section.id}` === location.hash);
      passed = Math.max(passed, target + 1);
    }
    links.forEach((link, number) => { if (number === passed - 1) link.setAttribute('aria-current', 'true'); else link.removeAttribute('aria-current'); });
    button.textContent = passed ? links[passed - 1].textContent : 'Contents';
  };
  let waiting = false;
  document.addEventListener('scroll', () => {
    if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; follow(); }); }
  }, { passive: true });
  follow();
}

function startTimes() {
  for (const time of all('time')) { time.title = time.dateTime; time.textContent = localTime(time.dateTime); }
}

startContents();
startTimes();
startTheme();
startBoard();
startMatrices();
startCells();
startCopying();
startPrinting();

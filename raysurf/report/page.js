// Filters and sorts tables of trials, and shows what a trial is when it is pointed at. The page works without it.
(function () {
  var tip = document.createElement('div');
  tip.id = 'tip'; tip.hidden = true; tip.setAttribute('role', 'tooltip');
  document.body.appendChild(tip);
  document.querySelectorAll('.trial').forEach(function (trial) {
    var title = trial.querySelector(':scope > title');
    trial.dataset.tip = title ? title.textContent : trial.title;
    if (title) { title.remove(); } else { trial.removeAttribute('title'); }
  });
  function alike(trial) {
    var sweep = trial.closest('article');
    return sweep ? sweep.querySelectorAll('.trial[data-trial="' + trial.dataset.trial + '"]') : [trial];
  }
  var pointed = null;
  function leave() {
    if (pointed) { alike(pointed).forEach(function (e) { e.classList.remove('pointed'); }); }
    pointed = null; tip.hidden = true;
  }
  document.addEventListener('pointermove', function (event) {
    var trial = event.target.closest ? event.target.closest('.trial') : null;
    if (!trial) { leave(); return; }
    if (trial !== pointed) {
      leave(); pointed = trial; tip.textContent = trial.dataset.tip; tip.hidden = false;
      alike(trial).forEach(function (e) { e.classList.add('pointed'); });
    }
    var x = event.clientX + 14, y = event.clientY + 14;
    tip.style.left = Math.max(4, Math.min(x, innerWidth - tip.offsetWidth - 8)) + 'px';
    tip.style.top = Math.max(4, Math.min(y, innerHeight - tip.offsetHeight - 8)) + 'px';
  });
  document.documentElement.addEventListener('pointerleave', leave);
  document.querySelectorAll('.filtered').forEach(function (part) {
    var table = part.querySelector('table'), body = table.tBodies[0], rows = Array.from(body.rows);
    var line = part.querySelector('.filter'), input = line.querySelector('input');
    var count = line.querySelector('output');
    line.hidden = false;
    function filter() {
      var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), shown = 0;
      rows.forEach(function (row) {
        var text = row.textContent.toLowerCase() + ' ' + row.dataset.tip.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
        shown += row.hidden ? 0 : 1;
      });
      count.textContent = shown + ' of ' + rows.length;
    }
    input.addEventListener('input', filter); filter();
    Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
      var button = document.createElement('button');
      button.type = 'button'; button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener('click', function () {
        var up = head.getAttribute('aria-sort') !== 'ascending';
        Array.from(head.parentNode.cells).forEach(function (cell) { cell.removeAttribute('aria-sort'); });
        head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
        var key = function (row) { return row.cells[column].textContent; };
        var known = rows.map(key).filter(Boolean);
        var numeric = known.every(function (text) { return !isNaN(Number(text)); });
        rows.slice().sort(function (a, b) {
          var x = key(a), y = key(b);
          if (!x || !y) { return (x ? 0 : 1) - (y ? 0 : 1); }
          var order = numeric ? Number(x) - Number(y) : x.localeCompare(y, undefined, {numeric: true});
          return up ? order : -order;
        }).forEach(function (row) { body.appendChild(row); });
      });
    });
  });
})();

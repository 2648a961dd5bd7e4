// Draws the figures that the page holds as JSON, again when the page turns dark or is printed.
(function () {
  var figures = JSON.parse(document.getElementById('figures').textContent);
  var dark = matchMedia('(prefers-color-scheme: dark)');
  function layout(figure, place) {
    // All but maps are drawn for a light page, and turned dark as a whole.
    var dim = dark.matches && place.classList.contains('map');
    var ink = dim ? '#e8e8e6' : '#1b1b1b', rule = dim ? '#3a3b3c' : '#d8d8d4';
    var narrow = innerWidth < 600, shown = Object.assign({
      font: {color: ink, size: narrow ? 11 : 12}, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      modebar: {bgcolor: 'rgba(0,0,0,0)', color: ink, activecolor: '#0072b2'}, margin: {l: 60, r: 20, t: 50, b: 50},
      legend: {orientation: 'h', y: -0.25}
    }, figure.layout);
    ['xaxis', 'yaxis', 'yaxis2', 'yaxis3'].forEach(function (name) {
      if (!figure.layout[name]) { return; }
      shown[name] = Object.assign({gridcolor: rule, linecolor: rule, zeroline: false}, figure.layout[name]);
    });
    return shown;
  }
  figures.forEach(function (figure) {
    var place = document.getElementById(figure.id);
    var bar = innerWidth < 600 ? false : 'hover';
    Plotly.newPlot(place, figure.data, layout(figure, place), {responsive: true, displaylogo: false, displayModeBar: bar});
    addEventListener('beforeprint', function () { Plotly.relayout(place, {width: 680}); });
    addEventListener('afterprint', function () { Plotly.relayout(place, {width: null, autosize: true}); });
    dark.addEventListener('change', function () { Plotly.relayout(place, layout(figure, place)); });
  });
})();

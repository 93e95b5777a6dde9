// The strip at the foot: the whole dataset, its gaps, and where the screen is in it.
export class Overview {
  constructor(host, view, goTo) {
    Object.assign(this, { host, view, goTo, data: { t: [], price: [], breaks: [] } });
    host.addEventListener("pointerdown", (event) => {
      host.setPointerCapture(event.pointerId);
      this.jump(event, false);
    });
    host.addEventListener("pointermove", (event) => host.hasPointerCapture(event.pointerId) && this.jump(event, false));
    host.addEventListener("pointerup", (event) => this.jump(event, true));
  }

  jump(event, done) {
    if (!this.chart || !this.data.t.length) return;
    const at = this.chart.posToVal(event.clientX - this.chart.over.getBoundingClientRect().left, "x");
    const half = (this.view.range.end - this.view.range.start) / 2;
    this.goTo(at - half, at + half, done);
  }

  build(width) {
    const { colors } = this.view;
    this.chart?.destroy();
    this.chart = new uPlot({
      width, height: 56, ms: 1, legend: { show: false }, padding: [4, 8, 4, 8], cursor: { show: false },
      tzDate: (ms) => uPlot.tzDate(new Date(ms), "Etc/UTC"),
      scales: { x: { time: true } },
      axes: [{ show: false }, { show: false }],
      series: [{}, { stroke: colors.quiet, fill: colors.grid, width: 1, points: { show: false }, gaps: () => [] }],
      hooks: { draw: [(u) => this.paint(u)] },
    }, [this.data.t, this.data.price], this.host);
  }

  paint(u) {
    const { ctx, bbox } = u;
    const { colors, range } = this.view;
    const at = (ms) => Math.min(Math.max(u.valToPos(ms, "x", true), bbox.left), bbox.left + bbox.width);
    ctx.save();
    ctx.fillStyle = colors.down;
    for (const gap of this.data.breaks) ctx.fillRect(at(gap.start_ms), bbox.top, Math.max(2, at(gap.end_ms) - at(gap.start_ms)), bbox.height);
    const from = at(range.start), to = at(range.end);
    ctx.fillStyle = colors.accent;
    ctx.globalAlpha = 0.22;
    ctx.fillRect(from, bbox.top, Math.max(3, to - from), bbox.height);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colors.accent;
    ctx.lineWidth = devicePixelRatio;
    ctx.strokeRect(from, bbox.top, Math.max(3, to - from), bbox.height);
    ctx.restore();
  }

  show(data) {
    this.data = data;
    this.chart?.setData([data.t, data.price]);
  }

  move() {
    this.chart?.redraw(false);
  }
}

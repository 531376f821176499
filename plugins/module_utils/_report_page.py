# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A performance report as one HTML page that needs nothing else: no network, no scripts, light and dark, wide and narrow."""

from __future__ import annotations

import json
import re
import traceback
import typing as t

try:
    import jinja2
    import pygal
    from pygal.style import Style

    PAGE_ERROR = None
except ImportError:
    PAGE_ERROR = traceback.format_exc()

_TITLES = {
    "hit_rate": "Hit rate",
    "miss_rate": "Miss rate",
    "response_time": "Response time",
    "memory_usage": "Redis memory",
    "eviction_rate": "Evictions",
    "cpu_usage": "CPU",
    "jvm_memory_usage": "JVM memory",
    "network_io": "Network",
    "disk_io": "Disk",
}
_WORDS = {"ok": "OK", "below_target": "Below target", "warning": "Warning", "critical": "Critical", "unknown": "Unknown"}
_NOISE = re.compile(r"<script.*?</script>|<!--.*?-->", re.DOTALL)
_MOST_BARS = 12
_LONGEST_LABEL = 18
_MOST_COLUMNS = 8
_Report = dict[str, t.Any]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{{ r.title }}: {{ r.period }} report of {{ r.date }}</title>
<style>
:root{--bg:#f6f7f9;--card:#fff;--ink:#1b2330;--muted:#5b6676;--line:#dde2e9;--c1:#1f6feb;--c2:#b4560a;--c3:#9aa4b2;
--ok:#13713a;--ok-bg:#dcf3e4;--below_target:#1c5a9e;--below_target-bg:#deebfa;--warning:#855300;--warning-bg:#fdf0cf;
--critical:#a8201a;--critical-bg:#fde1df;--unknown:#525c69;--unknown-bg:#e8ebef}
@media (prefers-color-scheme:dark){
:root{--bg:#10151c;--card:#19212b;--ink:#e6ebf2;--muted:#9ba7b6;--line:#2c3744;--c1:#6cb0ff;--c2:#f2a65a;--c3:#66727f;
--ok:#6fdc96;--ok-bg:#143524;--below_target:#8fc1ff;--below_target-bg:#152f4c;--warning:#f4c55e;--warning-bg:#3d2f0d;
--critical:#ff9c95;--critical-bg:#4a1917;--unknown:#b3bdc9;--unknown-bg:#2a323c}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1160px;margin:0 auto;padding:24px 20px 40px}header{display:flex;flex-wrap:wrap;gap:6px 16px;align-items:center;margin-bottom:4px}
h1{font-size:1.6rem;line-height:1.25;margin:0;overflow-wrap:anywhere}h2{font-size:1.12rem;margin:30px 0 10px}p{margin:0 0 8px}
.muted{color:var(--muted)}
.small{font-size:.86rem}.chip{display:inline-block;padding:1px 10px;border-radius:999px;font-size:.82rem;font-weight:600;white-space:nowrap}
{% for s in words %}.{{ s }}{color:var(--{{ s }});background:var(--{{ s }}-bg)}{% endfor %}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(214px,1fr));gap:12px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;min-width:0;overflow-wrap:anywhere}
.card h3{margin:0;overflow-wrap:normal;font-size:.92rem;font-weight:600;color:var(--muted)}
.top{display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 8px;align-items:center}
.value{font-size:1.7rem;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.35}
.value small{font-size:.95rem;font-weight:500;color:var(--muted)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:12px}
.charts>:only-child{max-width:620px}.chart{padding:12px 12px 4px}
.chart svg{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}table{border-collapse:collapse;width:100%}
th,td{padding:8px 14px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
th{font-size:.84rem;color:var(--muted);font-weight:600}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td:first-child{overflow-wrap:anywhere;min-width:7rem}
ul{margin:0;padding-left:1.2rem}li{overflow-wrap:anywhere}pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.84rem}
@media (max-width:560px){main{padding:16px 12px 28px}h1{font-size:1.3rem}.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}
.card{padding:10px 12px}.card .top{display:block}
.value{font-size:1.35rem}th,td{padding:7px 10px}
.stack thead{display:none}.stack tr{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));border-bottom:1px solid var(--line);padding:6px 0}
.stack tr:last-child{border-bottom:0}.stack td{display:flex;justify-content:space-between;gap:8px;border:0;padding:2px 12px;text-align:left;white-space:normal}
.stack td:before{content:attr(data-l);color:var(--muted);font-size:.84rem;white-space:nowrap}
.stack td:first-child,.stack td.long{grid-column:1/-1}.stack td:first-child{font-weight:600}.stack td:first-child:before{content:none}}
@media print{body{background:#fff}.card,.scroll{break-inside:avoid}}
</style></head><body><main>
<header><h1>{{ r.title }}</h1><span class="chip {{ r.verdict }}">{{ words[r.verdict] }}</span>{% if unknown %}
<span class="small muted">{{ unknown }} of {{ r.kpis | length }} key figures unknown</span>{% endif %}</header>
<p class="muted">{{ r.period | capitalize }} report of {{ r.date }}. Measured over {{ span }},
 from {{ r.measured.from | when }} to {{ r.measured.to | when }} UTC{{
 ', since the report before' if r.measured.since == 'report' }}.</p>
<h2>Key figures</h2><div class="cards">
{% for k in r.kpis %}<section class="card"><div class="top"><h3>{{ titles[k.name] }}</h3>
<span class="chip {{ k.state }}">{{ words[k.state] }}</span></div>
<div class="value">{% if k.value is none %}–{% else %}{{ k.value | short }}<small> {{ k | unit }}</small>{% endif %}</div>
<div class="small muted">{% if k.change is not none %}{{ k.change | signed }} against the report before<br>{% endif %}
target {{ k | target }}, critical {{ k | limit }}{% if k.value is none or k.state == 'unknown' %}<br>{{ k.reason }}{% endif %}</div>
</section>{% endfor %}</div>
{% if charts %}<h2>Trend and regions</h2><div class="charts">{% for title, svg in charts %}
<figure class="card chart" style="margin:0"><h3>{{ title }}</h3>{{ svg | safe }}</figure>{% endfor %}</div>{% endif %}
{% if r.regions %}<h2>Regions</h2><div class="scroll"><table class="stack"><thead><tr><th>Region</th><th class="n">Hit rate</th><th class="n">Reads</th>
<th class="n">Entries</th><th class="n">Full</th><th class="n">Memory</th><th class="n">TTL</th></tr></thead><tbody>
{% for g in r.regions %}<tr><td>{{ g.name }}</td><td class="n" data-l="Hit rate">{{ (g.hit_rate | short) ~ ' %' if g.hit_rate is not none else '–' }}</td>
<td class="n" data-l="Reads">{{ (g.hits + g.misses) | thousands if g.hits is not none else '–' }}</td>
<td class="n" data-l="Entries">{{ g.size | thousands if g.size is not none else '–' }}</td>
<td class="n" data-l="Full">{{ (100 * g.size / g.max_size) | short ~ ' %' if g.size is not none and g.max_size else '–' }}</td>
<td class="n" data-l="Memory">{{ g.memory_usage | bytes if g.memory_usage is not none else '–' }}</td>
<td class="n" data-l="TTL">{{ g.default_ttl or '–' }}</td></tr>{% endfor %}
</tbody></table></div>{% endif %}
<h2>Instances</h2><div class="scroll"><table><tbody>
{% for i in r.instances %}<tr><td>{{ i.name }}</td>
<td>{{ 'measured' if i.measured else 'not measured' }}{{ ', started again since' if i.restarted }}{{ ': ' ~ i.error if i.error }}</td></tr>
{% endfor %}
<tr><td>All together</td><td>{% for name, n in r.counted.items() %}
{{ n | thousands if n is not none else '–' }} {{ name }}{{ ', ' if not loop.last }}{% endfor %}</td></tr></tbody></table></div>
{% for name, part in parts %}<h2>{{ name }}</h2>{% if part is mapping %}<div class="scroll"><table class="stack"><thead><tr>{% for head in part.heads %}
<th{{ ' class="n"' | safe if head in part.numbers }}>{{ head }}</th>{% endfor %}</tr></thead><tbody>{% for row in part.rows %}
<tr>{% for head, cell in row %}<td class="{{ 'n' if head in part.numbers else 'long' if cell | length > 14 }}" data-l="{{ head }}">{{ cell }}</td>
{% endfor %}</tr>{% endfor %}</tbody></table></div>{% else %}<div class="card">{% if part is string %}<pre>{{ part }}</pre>{% else %}<ul>{% for line in part %}
<li>{{ line }}</li>{% endfor %}</ul>{% endif %}</div>{% endif %}{% endfor %}
{% if missing %}<h2>Not measured</h2><div class="card small"><ul>{% for name, why in missing %}<li><b>{{ name }}</b>: {{ why }}</li>{% endfor %}
</ul></div>{% endif %}
<p class="muted small" style="margin-top:26px">Made at {{ r.generated_at | when }} UTC
 from cache-report-{{ r.period }}-{{ r.date }}.json, schema version {{ r.schema_version }}.</p>
</main></body></html>
"""


def render(report: _Report) -> str:
    """The page of a report."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(
        {
            "short": short,
            "signed": lambda value: f"{value:+.3g}" if value else "±0",
            "thousands": lambda value: f"{value:,.0f}",
            "bytes": size,
            "unit": _unit,
            "when": lambda text: text.replace("T", " ").removesuffix("Z"),
            "target": lambda kpi: _bound(kpi, "target"),
            "limit": lambda kpi: _bound(kpi, "critical", worse=True),
        }
    )
    named = {"top_regions": "Busiest regions", "recommendations": "Recommendations", "weekly_report": "The service's own weekly report"}
    parts = [(title, table(report[name]) or lines(report[name])) for name, title in named.items() if report[name]]
    told = {kpi["name"] for kpi in report["kpis"]} | ({"weekly_report"} if report["period"] == "daily" else set())
    missing = [(name.replace("_", " "), why) for name, why in sorted(report["missing"].items()) if name not in told]
    return environment.from_string(_PAGE).render(
        r=report, words=_WORDS, titles=_TITLES, parts=parts, missing=missing, charts=_charts(report), span=span(report["measured"]["seconds"]),
        unknown=len([kpi for kpi in report["kpis"] if kpi["state"] == "unknown"]),
    )


def short(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def size(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def span(seconds: float) -> str:
    """A length of time as people say it."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} seconds"


def _unit(kpi: _Report) -> str:
    return "ms" if kpi["unit"] == "milliseconds" else "%"


def _bound(kpi: _Report, name: str, worse: bool = False) -> str:
    above = (kpi["target"] > kpi["critical"]) != worse
    return f"{'above' if above else 'below'} {kpi[name]:g} {_unit(kpi)}"


def table(part: t.Any) -> _Report | None:
    """A list of objects of the same few plain fields as a table; None where it is not that."""
    if isinstance(part, dict) and len(part) == 1:
        part = next(iter(part.values()))
    rows = part if isinstance(part, list) and 0 < len(part) <= 50 and all(isinstance(one, dict) for one in part) else []
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    plain = (str, int, float, type(None))
    if not 1 < len(names) <= _MOST_COLUMNS or any(not isinstance(value, plain) for row in rows for value in row.values()):
        return None
    heads = {name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_-]+", " ", name).lower().capitalize() for name in names}
    numbers = {heads[name] for name in names if any(isinstance(row.get(name), (int, float)) for row in rows)
               and not any(isinstance(row.get(name), str) for row in rows)}
    return {
        "heads": list(heads.values()), "numbers": numbers,
        "rows": [[(head, _cell(row.get(name))) for name, head in heads.items()] for row in rows],
    }


def _cell(value: t.Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else value


def lines(part: t.Any) -> list[str] | str:
    """What the service tells in a shape of its own: a list as lines, else as it is."""
    if isinstance(part, dict) and len(part) == 1:
        part = next(iter(part.values()))
    if isinstance(part, list) and len(part) <= 50:
        return [", ".join(f"{name}: {_plain(value)}" for name, value in one.items()) if isinstance(one, dict) else _plain(one) for one in part]
    return part if isinstance(part, str) else json.dumps(part, indent=2, ensure_ascii=False)[:20000]


def _plain(value: t.Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _charts(report: _Report) -> list[tuple[str, str]]:
    found = []
    limits = {kpi["name"]: kpi for kpi in report["kpis"]}
    for name in ("hit_rate", "response_time", "memory_usage", "eviction_rate"):
        values = [point["values"].get(name) for point in report["trend"]]
        if len([value for value in values if value is not None]) >= 2:
            title = f"{_TITLES[name]} ({_unit(limits[name])})"
            found.append((title, _line(name, title, [point["date"] for point in report["trend"]], values, limits[name]["target"])))
    regions = report["regions"] or []
    for field, title in (("hit_rate", "Hit rate by region (%)"), ("size", "Entries by region")):
        known = sorted(((region["name"], region[field]) for region in regions if region[field] is not None), key=lambda pair: -pair[1])
        if known:
            found.append((title, _bars(f"regions-{field}", title, known[:_MOST_BARS], 100 if field == "hit_rate" else None)))
    return found


def _axis(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _style(*colors: str) -> t.Any:
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--muted)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--line)",
        colors=colors,
        font_family="inherit",
        label_font_size=14,
        major_label_font_size=14,
        legend_font_size=14,
        value_font_size=14,
        tooltip_font_size=14,
        opacity=".85",
        guide_stroke_dasharray="3,4",
        major_guide_stroke_dasharray="3,4",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        stroke_width=2.5,
    )


def _drawn(chart: t.Any, name: str, title: str) -> str:
    chart.uuid = name
    svg = _NOISE.sub("", chart.render(is_unicode=True, disable_xml_declaration=True))
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _line(name: str, title: str, dates: list[str], values: list[float | None], target: float) -> str:
    # every point gets a date, but only so many of them that they do not run into one another
    step = -(-len(dates) // 5)
    chart = pygal.Line(
        style=_style("var(--c1)", "var(--c2)"),
        js=[],
        width=480,
        height=250,
        margin=6,
        spacing=8,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        legend_box_size=12,
        dots_size=3.5,
        show_minor_x_labels=False,
        x_labels_major_every=step,
        truncate_legend=-1,
        truncate_label=-1,
        allow_interruptions=True,
        max_scale=5,
    )
    chart.x_labels = [date[5:] for date in dates]
    chart.add("measured", values)
    chart.add(f"target {target:g}", [target] * len(dates), show_dots=False, stroke_style={"width": 1.5, "dasharray": "6,5"})
    return _drawn(chart, name, title)


def _bars(name: str, title: str, pairs: list[tuple[str, float]], most: float | None) -> str:
    chart = pygal.HorizontalBar(
        style=_style("var(--c1)"),
        js=[],
        width=480,
        height=max(120, 44 + 30 * len(pairs)),
        margin=6,
        spacing=6,
        show_legend=False,
        truncate_label=-1,
        max_scale=4,
        value_formatter=_axis,
        range=(0, most) if most else None,
        include_x_axis=True,
    )
    # drawn from the bottom up
    chart.x_labels = [label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…" for label, _value in reversed(pairs)]
    chart.add("", [value for _label, value in reversed(pairs)])
    return _drawn(chart, name, title)

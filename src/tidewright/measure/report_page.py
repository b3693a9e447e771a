"""The report as one HTML page that holds everything it needs: no network, readable on a phone."""

import math
import os
from html import escape
from pathlib import Path
from typing import Final

import orjson
from plotly.offline import get_plotlyjs

from tidewright.market.clock import SECOND, iso
from tidewright.market.output import write_whole
from tidewright.measure import charts
from tidewright.measure.agents_section import agents_html
from tidewright.measure.presentation import duration_text, number_text
from tidewright.measure.report import Proposal, ReportData, Summary
from tidewright.measure.report_table import (
    ORDER,
    markout_values,
    meaning_of,
    reliability_text,
    sample_of,
    text_of,
    title_of,
    uptime_text,
    verdict,
)
from tidewright.measure.seat_section import seat_html
from tidewright.measure.validation_sections import regret_charts, regret_html, stages_html

_CARDS: Final = ("total_return", "sharpe", "sqn", "max_drawdown", "win_rate", "fees", "fills", "average_trade_duration")
_OUTCOMES: Final = {1.0: "came true", 0.0: "did not come true"}
_LISTED: Final = 12  # proposals shown without unfolding

_STYLE: Final = """
:root{--ink:#1c2530;--dim:#5d6975;--line:#dfe4e9;--back:#f6f8fa;--good:#007a5a;--bad:#b84a00}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:20px 16px 60px}
h1{font-size:24px;line-height:1.25;margin:0 0 2px}h2{font-size:17px;margin:30px 0 8px}
.dim{color:var(--dim)}.small{font-size:13px}.verdict{font-size:16px;margin:12px 0 16px;max-width:75ch}
.cards{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:0}
.card{background:#fff;border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.card dt{color:var(--dim);font-size:13px}.card dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}
.card dd.na{font-size:14px;color:var(--dim)}.card .sample{display:block;color:var(--dim);font-size:12px}
.chart{background:#fff;border:1px solid var(--line);border-radius:8px;padding:4px 6px;margin:0 0 10px}
.chart h3{font-size:13px;font-weight:600;margin:4px 6px 0;color:var(--dim)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:10px;align-items:start}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:#fff;border:1px solid var(--line);border-radius:8px}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}thead th{font-size:13px;color:var(--dim);font-weight:600}
td.num,th.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.num.na{white-space:normal}
td.rest{white-space:nowrap}
.na{color:var(--dim)}.accepted{color:var(--good)}.refused{color:var(--dim)}.invalid,.error{color:var(--bad)}
summary{cursor:pointer;padding:8px 2px;color:var(--dim)}
.key{display:inline-block;width:18px;border-top:2px solid #009e73;vertical-align:middle;margin-right:5px}
.key.off{border-top:2px dotted #8a929c;margin-left:14px}
@media(max-width:640px){main{padding:14px 10px 40px}h1{font-size:20px}.cards{grid-template-columns:1fr 1fr}
.figures thead{display:none}.figures tr{display:grid;grid-template-columns:1fr auto;padding:6px 0;
border-bottom:1px solid var(--line)}
.figures td{border:0;padding:1px 10px}.figures td.rest,.figures td.mean{grid-column:1/-1;font-size:12.5px}
.figures td.num{white-space:normal}}
@media print{body{background:#fff}.chart,.card{break-inside:avoid}}
"""

# One zoom for all time charts; double tap resets. Nothing is fetched.
_SCRIPT: Final = """
const charts=JSON.parse(document.getElementById('figures').textContent),timed=[];let busy=false;
for(const [id,fig] of Object.entries(charts)){const el=document.getElementById(id);
Plotly.newPlot(el,fig.data,fig.layout,{responsive:true,displaylogo:false,displayModeBar:false});
if(fig.layout.xaxis.type==='date'){timed.push(el);const home=fig.layout.xaxis.range.slice();
el.on('plotly_relayout',e=>{if(busy)return;let r=null;
if(e['xaxis.range[0]']!==undefined)r=[e['xaxis.range[0]'],e['xaxis.range[1]']];else if(e['xaxis.autorange'])r=home;
if(!r)return;busy=true;Promise.all(timed.map(o=>Plotly.relayout(o,{'xaxis.range':r.slice()}))).finally(()=>busy=false)})}}
"""


def page(data: ReportData, summary: Summary) -> str:
    """The whole page as text."""
    facts = data.facts
    figures = {
        "equity": charts.equity_chart(data),
        "trading": charts.trading_chart(data),
        "drawdown": charts.drawdown_chart(data),
        "inventory": charts.inventory_chart(data),
        "price": charts.price_chart(data),
        "confidence": charts.proposals_chart(data),
        "markouts": charts.markout_chart(summary),
        "reliability": charts.reliability_chart(summary),
        **regret_charts(data),
        "actions": charts.actions_chart(data),
        "agents": charts.agents_chart(data, "gain"),
        "capital": charts.agents_chart(data, "capital"),
    }
    shown = {name: figure for name, figure in figures.items() if figure is not None}
    title = f"{facts.symbol} · {facts.strategy} · session {facts.session}"
    end = "" if facts.ended_ns is not None else " · not ended in good order, or still running"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="dim">{iso(int(data.equity_ts[0]))[:16].replace("T", " ")} to '
        f"{iso(int(data.equity_ts[-1]))[:16].replace('T', ' ')} UTC, market time · {escape(facts.mode)} on "
        f"{escape(facts.venue)} · uptime {uptime_text(data, summary)}{end}</div>",
        f'<p class="verdict">{escape(verdict(data, summary))}</p>',
        _cards(data, summary),
        "<h2>Over time</h2>",
        _key(data),
        _chart("equity", "Equity", shown),
        _chart("trading", "Profit of trading: equity less the starting balances left alone", shown),
        _chart("drawdown", "Drawdown from the highest equity so far", shown),
        _chart("inventory", "Inventory: net filled quantity", shown),
        _chart("price", "Price and fills", shown),
        agents_html(
            data.agents,
            facts.quote,
            _chart("agents", "Earned by each agent", shown) + _chart("capital", "Capital of each agent", shown),
        ),
        _markouts(summary, shown),
        _proposals(data, summary, shown),
        stages_html(data.stages),
        seat_html(data.seat, _chart("actions", "What the policy does", shown)),
        regret_html(data),
        "<h2>Figures, what they mean and what they rest on</h2>",
        _figure_table(data, summary),
        "<h2>Assumptions</h2>",
        _assumptions(data),
        '<p class="dim small">Returns are simple returns of equity from one cycle to the next, the first interval '
        f"included; one cycle is {duration_text(facts.cycle_ns)}. Annualised figures are scaled to 365 days. A figure "
        "whose sample is too small is not given. Lines of more than 4,000 points show the lowest and highest of each "
        "stretch.</p>",
    ]
    return document(escape(title), "\n".join(part for part in parts if part), shown)


def write_page(path: str | os.PathLike[str], data: ReportData, summary: Summary) -> Path:
    """Write the page, whole or not at all."""
    return write_whole(path, page(data, summary))


def document(title: str, body: str, shown: dict[str, charts.Figure]) -> str:
    """A whole page: style, body, the charts' figures, and plotly; ``title`` and ``body`` are escaped already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + body
        + f'\n</main>\n<script type="application/json" id="figures">{_embedded(shown)}</script>\n'
        + f"<script>{get_plotlyjs()}</script>\n<script>{_SCRIPT}</script>\n</body></html>\n"
    )


def _embedded(figures: dict[str, charts.Figure]) -> str:
    """Figures as JSON that can stand in a script element."""
    # "</" inside a script element would end it.
    return orjson.dumps(figures).decode().replace("</", "<\\/")


def _chart(name: str, title: str, shown: dict[str, charts.Figure]) -> str:
    if name not in shown:
        return ""
    return f'<div class="chart"><h3>{escape(title)}</h3><div id="{name}"></div></div>'


def _key(data: ReportData) -> str:
    if not data.proposals:
        return ""
    return (
        '<p class="dim small"><span class="key"></span>proposal accepted<span class="key off"></span>proposal refused '
        "· drag to zoom, double-click to reset</p>"
    )


def _cards(data: ReportData, summary: Summary) -> str:
    cards = []
    for name in _CARDS:
        known = math.isfinite(summary.figures[name])
        text = text_of(name, data, summary)
        rest = sample_of(name, summary)
        if name == "sharpe" and known:
            rest = f"± {number_text(summary.figures['sharpe_error'])} standard error"
        extra = f'<span class="sample">{escape(rest)}</span>' if known else ""
        cards.append(
            f'<div class="card"><dt>{escape(title_of(name))}</dt>'
            f"<dd{'' if known else ' class=na'}>{escape(text)}{extra}</dd></div>"
        )
    return f'<dl class="cards">{"".join(cards)}</dl>'


def _figure_table(data: ReportData, summary: Summary) -> str:
    rows = []
    for name in ORDER:
        text = text_of(name, data, summary)
        style = "num na" if text.startswith("n/a") else "num"
        rows.append(
            f'<tr><td>{escape(title_of(name))}</td><td class="{style}">{escape(text)}</td>'
            f'<td class="rest dim">{escape(sample_of(name, summary))}</td>'
            f'<td class="mean dim small">{escape(meaning_of(name))}</td></tr>'
        )
    for asset, amount in data.fees_by_asset.items():
        rows.append(
            f'<tr><td>Fees taken in {escape(asset)}</td><td class="num">{escape(amount)}</td><td class="rest"></td>'
            '<td class="mean dim small">sum of commissions, exact</td></tr>'
        )
    return (
        '<table class="figures"><thead><tr><th>Figure</th><th class="num">Value</th><th>Rests on</th><th>Meaning</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _markouts(summary: Summary, shown: dict[str, charts.Figure]) -> str:
    if not summary.markouts:
        return ""
    rows = []
    for row in summary.markouts:
        numbers = "".join(
            f'<td class="num">{number_text(v) if math.isfinite(v) else "n/a"}</td>' for v in markout_values(row)
        )
        rows.append(
            f'<tr><td>{row.group}</td><td class="num">{row.horizon_ns // SECOND} s</td>'
            f'<td class="num">{row.count:,}</td>{numbers}</tr>'
        )
    table = (
        '<div class="scroll"><table><thead><tr><th>Fills</th><th class="num">After</th><th class="num">n</th>'
        '<th class="num">Before fee</th><th class="num">After fee</th><th class="num">± error</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    return (
        "<h2>Mark-outs: what the market did after a fill</h2>"
        '<p class="dim small">Side × (mid after the horizon − fill price) / fill price, basis points, every fill with '
        "the same weight. Negative: the market went on against the fill (adverse selection). The error is the standard "
        "error of the mean, fills taken as independent; n counts fills whose mid at the horizon is known.</p>"
        f'<div class="pair">{_chart("markouts", "Mean mark-out, basis points", shown)}{table}</div>'
    )


def _proposals(data: ReportData, summary: Summary, shown: dict[str, charts.Figure]) -> str:
    if not data.proposals:
        return ""
    rows = []
    for item in data.proposals[::-1]:
        params = ", ".join(f"{name} {value:.4g}" for name, value in item.params.items())
        confidence = number_text(item.confidence) if math.isfinite(item.confidence) else "n/a"
        came = "" if item.outcome is None else _OUTCOMES.get(item.outcome, "a tie")
        rows.append(
            f'<tr><td class="num">{iso(item.ts)[5:16].replace("T", " ")}</td><td class="num">{confidence}'
            f'<div class="dim small">{_ahead(item)}</div></td>'
            f'<td class="{item.verdict or "open"}">{item.verdict or "open"}'
            f'<div class="dim small">{came}</div></td><td>{escape(item.why)}'
            f'<div class="dim small">{escape(params)}</div></td></tr>'
        )
    older = len(rows) - _LISTED
    table = _proposal_rows(rows[:_LISTED])
    if older > 0:
        table += f"<details><summary>{older} older proposals</summary>{_proposal_rows(rows[_LISTED:])}</details>"
    reliability = _chart("reliability", "Confidence and what came of it", shown)
    return (
        f"<h2>Proposals: {summary.accepted} accepted, {summary.refused} refused</h2>"
        '<p class="dim small">A confidence score is the probability that the proposal beats the parameters in use over '
        "the next epoch, out of sample; under it the interval in which its difference to them should lie, in quote. "
        f"Reliability: {escape(reliability_text(summary))}.</p>"
        f"{_chart('confidence', 'Confidence of each proposal', shown)}{reliability}{table}"
    )


def _ahead(item: Proposal) -> str:
    """Where its difference was foretold to lie."""
    if item.ahead is None:
        return ""
    lower, upper, level = item.ahead
    ends = " to ".join(number_text(end, 3) if math.isfinite(end) else "?" for end in (lower, upper))
    return f"{ends} ({100 * level:.0f} %)"


def _proposal_rows(rows: list[str]) -> str:
    return (
        '<div class="scroll"><table><thead><tr><th class="num">Time</th><th class="num">Confidence</th><th>Verdict</th>'
        f"<th>Why · parameters</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _assumptions(data: ReportData) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in data.assumptions)
    return f"<table><tbody>{rows}</tbody></table>" if rows else '<p class="dim">none recorded</p>'

"""The HTML report: self-contained, deterministic, complete, and honest about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import sclineage
from sclineage._errors import InputError
from sclineage.patient import access
from sclineage.report import page
from tests.report import builders as b

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags with attributes, tables as rows of text, and the text outside styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "caption":
            self.captions.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data
        if "caption" in self.open:
            self.captions[-1] += data

    def table(self, caption: str) -> list[dict[str, str]]:
        at = next(i for i, c in enumerate(self.captions) if caption in c)
        head, *rows = self.tables[at]
        return [dict(zip(head, r, strict=True)) for r in rows]


@pytest.fixture(scope="module", params=b.CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, page.render(b.patient(request.param))


@pytest.fixture(scope="module")
def full() -> Page:
    return Page(page.render(b.patient()))


def test_page_asks_for_nothing_outside(case: tuple[str, str]) -> None:
    _, html = case
    parsed = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & {t for t, _ in parsed.tags}
    for tag, attributes in parsed.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:60])
    assert "@import" not in html
    assert "http:" not in html
    assert "https:" not in html
    assert all(u.startswith("#") for u in re.findall(r"url\(([^)]*)\)", html))


def test_page_is_well_formed_and_says_what_it_is(case: tuple[str, str]) -> None:
    _, html = case
    parsed = Page(html)
    assert parsed.open == []
    uses = [m.start() for m in re.finditer("Research use only. Not a diagnostic.", html)]
    assert len(uses) == 2
    assert uses[0] < html.index("<h1>")
    assert uses[1] > html.index("</main>")
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for _, a in parsed.tags if a.get("href", "").startswith("#")]
    assert set(targets) <= set(ids)


def test_figures_are_inline_and_named(case: tuple[str, str]) -> None:
    name, html = case
    figures = [a for t, a in Page(html).tags if t == "svg"]
    assert all(a["role"] == "img" and a["aria-label"] for a in figures)
    assert len(figures) == html.count("<figcaption>")
    assert (len(figures) > 0) == (name != "nothing")


def test_same_patient_gives_the_same_bytes(tmp_path) -> None:
    for k in range(2):
        sclineage.report(b.patient(), tmp_path / f"{k}.html")
    first, second = ((tmp_path / f"{k}.html").read_bytes() for k in range(2))
    assert first == second
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.html", "1.html"]


def test_run_seconds_and_places_do_not_show() -> None:
    data, other = b.patient("no_gex"), b.patient("no_gex")
    record = b.record() | {"seconds": {"read": 99.0}}
    record["inputs"] = [i | {"file": str(i["file"]).replace("/data/in/", "/elsewhere/x/")} for i in record["inputs"]]
    record["parameters"] = record["parameters"] | {"threads": 7, "focus": "/elsewhere/focus.csv"}
    access.store(other)["run"] = record
    first, second = page.render(data), page.render(other)
    assert "/data" not in first
    assert "elsewhere" not in second
    assert second.replace("focus.csv", "") != second
    lines = set(second.splitlines()) - set(first.splitlines())
    assert all("focus" in line for line in lines), lines


def test_every_row_on_a_clone_says_how_many_cells_inform_it(full: Page) -> None:
    seen = 0
    for caption, (head, *rows) in zip(full.captions, full.tables, strict=True):
        about_clones = head[0] in ("Clone", "Axis", "Line", "Specimen") or "clone" in caption.lower()
        if not about_clones:
            continue
        seen += 1
        at = [i for i, h in enumerate(head) if "n informative" in h]
        assert at, caption
        for row in rows:
            assert all(row[i].replace(",", "").isdigit() or row[i] == "not assessed" for i in at), row
    assert seen >= 8


def test_verdict_of_the_malignant_clone_is_complete(full: Page) -> None:
    assert ("The malignant clone (592 cells in 2 specimens) shows no CAR transcript above background, in data with a "
            "measured positive control: 1 of 571 informative malignant cells shows CAR transcript (1 CAR UMI; 0.87 "
            "expected from background and doublets alone, 790 if every member carried it); posterior above 0.999, "
            "log10 Bayes factor \u22129.4.") in full.text
    assert "A clonal CAR expressed at 5 % or more of the control is excluded." in full.text
    assert "Up to 0.41 % CAR-carrying members cannot be excluded." in full.text
    assert "RNA cannot tell a silenced CAR from an absent one" in full.text
    assert "2 of 87 informative cells in apheresis" in full.text
    assert "EBV transcripts are above ambient in 142 of 300 cells" in full.text


def test_clone_table_holds_called_focus_and_largest_clones(full: Page) -> None:
    rows = full.table("of 34 clones")
    assert [r["Clone"] for r in rows[:2]] == ["3f9ac2d1", "c05d7e19"]
    assert len(rows) == 20
    assert "The other 14 clones are in clones.csv." in full.text
    assert {r["Shown for"] for r in rows} == {"malignant", "suspicious", "size"}


def test_absence_over_time_is_a_limit_not_zero(full: Page) -> None:
    rows = [r for r in full.table("Frequency over time") if r["Clone"] == "3f9ac2d1"]
    assert [r["Sample"] for r in rows] == ["apheresis", "product", "blood_d30", "biopsy"]
    assert rows[1]["Frequency"] == "none seen, < 2.1 %"
    assert rows[1]["Limit of detection"] == "2.1 %"
    assert rows[0]["Frequency"] == "2.3 %"


def test_what_if_marks_the_verdict_that_changes(full: Page) -> None:
    rows = full.table("under other assumptions")
    assert [r["Against the report"] for r in rows] == ["changes", "same", "same", "same", "same", "same"]
    assert rows[0]["If"] == "CAR sensitivity halved"


def test_samples_say_sensitivity_background_and_their_sources(full: Page) -> None:
    rows = {r["Sample"]: r for r in full.table("Samples") if "CAR sensitivity" in r}
    assert rows["apheresis"]["CAR sensitivity"] == "not assessed"
    assert rows["apheresis"]["Sensitivity from"] == "not assessed"
    assert rows["blood_d30"]["CAR sensitivity"] == "66 %"
    assert rows["blood_d30"]["Sensitivity from"] == "same library"
    assert rows["apheresis"]["Background from"] == "negative control"
    assert list(rows) == ["apheresis", "product", "blood_d30", "biopsy_a", "biopsy_b"]


def test_provenance_lists_inputs_parameters_and_what_was_not_used(full: Page) -> None:
    rows = full.table("Input files")
    assert [(r["File"], r["sha256"]) for r in rows] == [("biopsy_a.h5", "ab" * 6), ("vdj/biopsy_a.csv", "cd" * 6)]
    assert any(a.get("title") == "ab" * 32 for _, a in full.tags)
    assert {"Parameter": "config.fraction_limit", "Value": "0.1"} in full.table("Parameters")
    assert "alleles: biopsy_a" in full.text
    assert {"Software": "numpy", "Version": "2.2.0"} in full.table("Versions")


@pytest.mark.parametrize(("name", "said"), [
    ("no_gex", ["Not assessed: no gene-expression matrix."]),
    ("no_vdj", ["No clone could be defined, for want of T-cell receptor data",
                "Not assessed: no clone could be defined (no T-cell receptor data)."]),
    ("nothing", ["Not assessed: no table of samples was made.", "No record of a run"]),
])
def test_missing_parts_are_not_assessed(name: str, said: list[str]) -> None:
    text = Page(page.render(b.patient(name))).text
    for sentence in said:
        assert sentence in text


def test_missing_numbers_are_never_zero() -> None:
    parsed = Page(page.render(b.patient("indeterminate")))
    rows = parsed.table("CAR transcript per specimen")
    assert {r["n informative"] for r in rows} == {"0"}
    for column in ("n with CAR", "CAR UMIs", "Expected, no CAR", "P no cell", "log10 BF"):
        assert {r[column] for r in rows} == {"not assessed"}, column
    rows = parsed.table("Lines of evidence")
    assert {r["Nats"] for r in rows} == {"not assessed"}
    assert {r["CAR UMIs"] for r in parsed.table("Samples")} == {"not assessed"}
    assert "This is not a negative." in parsed.text


def test_rows_without_informative_cells_show_no_zero() -> None:
    data = b.patient("no_gex")
    frame = access.table(data, "clone_car")
    here = frame["specimen"] == "apheresis"
    frame.loc[here, ["n_informative", "n_with_car", "umi", "expected_if_negative", "expected_if_positive"]] = 0
    [row] = [r for r in Page(page.render(data)).table("CAR transcript per specimen") if r["Specimen"] == "apheresis"]
    assert row["n informative"] == "0"
    counts = ("n with CAR", "CAR UMIs", "Expected, no CAR", "Expected, all carry it")
    assert {row[c] for c in counts} == {"not assessed"}


def test_doubted_sightings_are_not_listed_as_absent() -> None:
    data = b.patient("no_gex")
    frame = access.table(data, "clones")
    frame.loc[frame["clone_id"] == b.CAR_T, "predates_reason"] = "one_cell_only"
    rows = {r["Clone"]: r for r in Page(page.render(data)).table("of 34 clones")}
    assert rows["b71e04aa"]["Before infusion"] == "seen before, not confirmed"
    assert rows["c05d7e19"]["Before infusion"] == "not detected before"


def test_a_virus_without_cells_is_not_assessed(full: Page) -> None:
    rows = {r["Population"]: r for r in full.table("Viral transcripts")}
    assert rows["other T cells"]["Above ambient"] == "not assessed"
    assert rows["CAR-T cells"]["Above ambient"] == "0"


def test_variants_without_a_read_are_not_wild_type(full: Page) -> None:
    rows = full.table("Somatic variants")
    assert {r["Name"]: r["Found"] for r in rows}["myeloid"] == "wild type"
    silent = next(r for r in rows if r["n informative"] == "0")
    assert silent["Found"] == "not assessable: no reads"
    assert silent["Cells needed"] == "160"


def test_vector_dna_stands_beside_rna(full: Page) -> None:
    assert "2 vector and 1,500 reference copies; purity 90 %: 0 to 0.011 copies per tumour cell" in full.text
    assert "main integration site chr17:7676154 in TP53: 75 % of the reads of 3 sites" in full.text
    assert "vector DNA not detected" in full.text
    assert "not decided: purity unknown" in full.text


def test_hostile_names_are_escaped() -> None:
    hostile = '<script>alert("x")</script>'
    html = page.render(b.patient(rename={"blood_d30": hostile, "biopsy_a": "$a^{b$ & \"c\""}))
    parsed = Page(html)
    assert "script" not in {t for t, _ in parsed.tags}
    assert hostile in parsed.text
    assert html.count("<script") == 0
    assert '$a^{b$ & "c"' in parsed.text


def test_several_patients_are_refused() -> None:
    data = b.patient("nothing")
    access.put(data, {"patient": np.where(np.arange(data.n_obs) < 5, "P01", "P02")})
    with pytest.raises(InputError, match="write one report per patient"):
        page.render(data)


def test_a_patient_without_any_clone_row_or_cell() -> None:
    data = md.MuData({"gex": ad.AnnData(X=np.zeros((0, 2), np.float32), var=pd.DataFrame(index=["A", "B"]))})
    text = Page(page.render(data)).text
    assert "Patient unnamed" in text
    assert "No clone could be defined" in text


def test_report_survives_h5mu(tmp_path) -> None:
    data = b.patient()
    data.write_h5mu(tmp_path / "p.h5mu")
    again = md.read_h5mu(tmp_path / "p.h5mu")
    assert page.render(again) == page.render(data)


def test_glossary_explains_the_words_that_occur(full: Page) -> None:
    glossary = full.text[full.text.rindex("Glossary"):]
    for word in ("CAR transcript not detected", "too few cells", "no malignant features", "minor", "background"):
        assert f" {word} " in glossary
    assert "control silent" not in glossary

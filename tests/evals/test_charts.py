"""Plots are files that say what was measured."""

import math
from dataclasses import replace

import pytest

from evals.bench import charts, serving_table
from evals.bench.ways import OURS, SERIAL, Cell

pytest.importorskip("matplotlib", reason="needs the `bench` extra")

CELL = Cell("even", OURS, 1, 0, 10.0, 9000, 8000, 480, 15, 0.3, 2.0, 3.0)


def test_bars_carry_their_values_and_names(tmp_path):
    path = tmp_path / "deep" / "plot.svg"
    charts.bars(path, "Wall time", ["1 at once", "4 at once"], {"serial": [1.0, 1.0], "ours": [0.32, math.nan]}, "s")
    drawn = path.read_text()
    assert all(f">{words}<" in drawn for words in ("Wall time", "4 at once", "serial", "ours", "0.32"))
    assert "nan" not in drawn


def test_the_axis_has_room_for_what_a_value_may_be_and_for_what_it_is_compared_with(tmp_path):
    path = tmp_path / "plot.svg"
    charts.bars(path, "t", ["a", "b"], {"one": [0.2, math.nan]}, "s", ranges={"one": [(0.1, 0.6), None]}, mark=0.9)
    drawn = path.read_text()
    assert all(f">{tick}<" in drawn for tick in ("0.6", "0.8"))
    assert "nan" not in drawn


def test_the_same_figures_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        charts.bars(tmp_path / name, "t", ["g"], {"one": [1.0]}, "s")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_the_serving_plot_shows_shares_of_the_serial_time(tmp_path):
    serving_table.plot(tmp_path / "plot.svg", [CELL, replace(CELL, way=SERIAL, wall_s=40.0)])
    drawn = (tmp_path / "plot.svg").read_text()
    assert ">0.25<" in drawn
    assert OURS in drawn

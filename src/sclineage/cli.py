"""Command line: parse, call the public functions, print. Nothing is decided here."""

from __future__ import annotations

import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ._errors import Fault, InputError, SclineageError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Single-cell lineage of CAR-T patients. Research use only.")

SEVERAL = ("--r1", "--r2", "--primer")  # options that take several values

Out = Annotated[Path, typer.Option("--out", help="Output folder.")]
Car = Annotated[str, typer.Option("--car", help="CAR features: FEATURE[+FEATURE][,...] or NAME=F1+F2,NAME2=F3.")]
Virus = Annotated[list[str] | None, typer.Option("--virus", help="NAME=F1+F2, NAME=prefix:EBV_ or NAME=contig:ID.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads; the result never depends on it.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _say(line: str) -> None:
    typer.echo(line, err=True)


@app.command()
def run(sheet: Path, car: Car, out: Out, virus: Virus = None,
        config: Annotated[Path | None, typer.Option("--config", help="YAML configuration.")] = None,
        malignant_key: Annotated[str | None, typer.Option(help="Your own call: obs column or CSV.")] = None,
        focus: Annotated[str | None, typer.Option(help="File naming clones of interest.")] = None,
        car_adt: Annotated[str | None, typer.Option("--car-adt", help="Antibody against the CAR, F1[+F2].")] = None,
        device: Device = "auto", threads: Threads = None, seed: Annotated[int, typer.Option()] = 0,
        resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
        debug: Debug = False) -> None:
    """Run all steps for the patients of a sample sheet and write tables and report."""
    from ._compile import beside
    from .pipeline import run as run_

    with beside(threads):
        run_(sheet, out, car=car, virus=virus or (), config=config, malignant_key=malignant_key, focus=focus,
             car_adt=car_adt, device=device, threads=threads, seed=seed, resume=resume, say=_say)  # type: ignore[arg-type]
    _say(f"done: {out / 'report.html'}" if (out / "report.html").exists() else f"done: {out}")


@app.command()
def check(sheet: Path, car: Car, virus: Virus = None, debug: Debug = False) -> None:
    """List all faults of the inputs at once; nothing is computed."""
    from .patient.api import check as check_

    faults = check_(sheet, car=car, virus=tuple(virus or ()))
    if not faults:
        typer.echo(f"{sheet}: no fault found")
        return
    _report(faults)
    raise typer.Exit(2)


@app.command()
def count(chemistry: Annotated[str, typer.Option(help="10x-3p-v2, -v3, -v4, 10x-5p-v2, -v3, or r1:bc16,umi12.")],
          targets: Annotated[Path, typer.Option(help="FASTA of CAR constructs, viruses, lineage barcodes.")],
          out: Out,
          r1: Annotated[list[Path] | None, typer.Option(help="R1 files, lane by lane; alone: interleaved.")] = None,
          r2: Annotated[list[Path] | None, typer.Option(help="R2 files in the same order.")] = None,
          bam: Annotated[Path | None, typer.Option(help="10x BAM instead of FASTQ.")] = None,
          whitelist: Annotated[str | None, typer.Option(help="File or stored name of the barcode list.")] = None,
          decoys: Annotated[Path | None, typer.Option(help="FASTA of endogenous transcripts.")] = None,
          gtf: Annotated[Path | None, typer.Option(help="Segments of the targets; default: beside the FASTA.")] = None,
          cells: Annotated[Path | None, typer.Option(help="Barcodes of the cells: list, 10x matrix or h5ad.")] = None,
          policy: Annotated[str, typer.Option(help="cellranger, unique or calibrated.")] = "cellranger",
          umis: Annotated[str | None, typer.Option(help="cellranger, exact or directional.")] = None,
          enriched: Annotated[bool, typer.Option("--enriched", help="An enrichment (amplicon) library.")] = False,
          primer: Annotated[list[str] | None, typer.Option(help="Primers of the enrichment.")] = None,
          least_reads: Annotated[int | None, typer.Option(help="Least reads of a molecule of an enrichment.")] = None,
          rescue: Annotated[bool, typer.Option("--rescue", help="Align reads that k-mers leave open (mappy).")] = False,
          merge: Annotated[Path | None, typer.Option(help="Molecules of the GEX library of the same cells.")] = None,
          device: Device = "auto", threads: Threads = None, debug: Debug = False) -> None:
    """Count molecules of target sequences in FASTQ files or a 10x BAM."""
    from .reads.api import count_targets

    found = count_targets(chemistry=chemistry, targets=targets, r1=r1 or (), r2=r2 or (), bam=bam, out=out,
                          whitelist=whitelist, decoys=decoys, gtf=gtf, cells=cells, policy=policy,  # type: ignore[arg-type]
                          umi_policy=umis, enriched=enriched, primers=primer or (),  # type: ignore[arg-type]
                          least_reads=least_reads, rescue=rescue, merge=merge, device=device,  # type: ignore[arg-type]
                          threads=threads, say=_say)
    record = found.uns["count"]["record"]
    for line in record["warnings"]:
        _say(f"warning: {line}")
    _say(f"done: {out}: {record['reads']} read pairs, {record['molecules']} molecules, {found.n_obs} cells, peak "
         f"memory {record['peak_memory_bytes'] / 1e6:.0f} MB; research use only")


@app.command()
def simulate(scenario: Annotated[str, typer.Option("--scenario", help="Name; see --list.")] = "index_case",
             seed: Annotated[int, typer.Option()] = 0,
             out: Annotated[Path, typer.Option("--out")] = Path("sclineage-simulated"),
             list_: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
             debug: Debug = False) -> None:
    """Write a simulated patient in the real file formats, with truth/*.csv."""
    from .simulate.api import scenarios
    from .simulate.api import simulate as simulate_

    if list_:
        for name, text in scenarios().items():
            typer.echo(f"{name:32s} {text}")
        return
    typer.echo(str(simulate_(scenario, seed=seed, out=out)))


@app.command()
def demo(out: Annotated[Path, typer.Option("--out")] = Path("sclineage-demo"),
         seed: Annotated[int, typer.Option()] = 0, threads: Threads = None, debug: Debug = False) -> None:
    """Simulate a patient with known truth, run everything, and compare the verdict with the truth."""
    from ._compile import beside
    from .demo import demo as demo_

    with beside(threads):
        lines, right = demo_(out, seed=seed, threads=threads, say=_say)
    for line in lines:
        typer.echo(line)
    if not right:
        raise typer.Exit(1)


@app.command()
def info(debug: Debug = False) -> None:
    """Versions and devices."""
    from ._provenance import versions

    for name, version in versions().items():
        typer.echo(f"{name:16s} {version}")


def _report(faults: list[Fault]) -> None:
    for fault in faults:
        typer.echo(str(fault), err=True)


def main(args: list[str] | None = None) -> None:
    """Entry point: exit status 0 done, 2 bad input or usage, 1 internal error, 130 interrupted."""
    args = _several(sys.argv[1:] if args is None else args)
    if "--debug" not in args:
        warnings.simplefilter("ignore")  # what libraries warn of is for their developers
    try:
        status = app(args=args, standalone_mode=False, prog_name="sclineage")
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except typer.TyperException as error:
        _exit(2, f"usage: {error.format_message()}; see sclineage --help", args)
    except InputError as error:
        _exit(2, str(error), args)
    except SclineageError as error:
        _exit(2, str(error), args)
    except OSError as error:
        _exit(1, f"{error.filename or 'system'}: {error.strerror or error}", args)
    except Exception as error:  # noqa: BLE001  the user gets one line, the traceback only with --debug
        _exit(1, f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}; "
                 "run again with --debug and report it", args)
    if status == 130:  # typer turns Ctrl-C into this status
        _exit(130, "interrupted; nothing that looks finished was written"
              + ("; `sclineage run ... --resume` continues" if args[:1] == ["run"] else ""), args)
    sys.exit(status if isinstance(status, int) else 0)


def _several(args: list[str]) -> list[str]:
    """``--r1 A B`` as ``--r1 A --r1 B``: the shell expands ``--r1 *_R1_*`` to that."""
    out, option, values = [], "", 0
    for word in args:
        option, values = (word, 0) if word.startswith("-") else (option, values + 1)
        out += [option, word] if values > 1 and option in SEVERAL else [word]
    return out


def _exit(status: int, message: str, args: list[str]) -> None:
    if "--debug" in args:
        traceback.print_exc()
    typer.echo(message, err=True)
    sys.stdout.flush()
    sys.exit(status)


if __name__ == "__main__":
    main()

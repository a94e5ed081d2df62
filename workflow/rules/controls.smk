"""Spike-in controls: what the model finds of a known stain on the run's own negative cores."""


rule controls:
    """Paint DAB bands on negative cores of antibodies that training did not see; segment them."""
    input:
        tiles="results/training/tiles.parquet",
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
    output:
        controls=report(
            "results/controls/controls.csv",
            caption="../report/controls.rst",
            category="Controls",
            labels={"table": "spike-in controls"},
        ),
        tables=expand(
            "results/controls/{name}.parquet",
            name=["controls", "cores", "limits", "measures"],
        ),
        failures="results/failures/controls.csv",
    log:
        "logs/controls.log",
    benchmark:
        "logs/benchmarks/controls.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=STEP_VERSIONS["controls"],
        controls=settings.controls.cli_args(),
        segment=settings.segment.cli_args(),
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        model=subpath(input.checkpoint, parent=True),
        out=subpath(output.controls, parent=True),
    message:
        "Painting and segmenting the controls"
    shell:
        "cacl controls --tiles {input.tiles} --store {params.store} --model {params.model} "
        "--out {params.out} --failures {output.failures} {params.controls} {params.segment} "
        "{params.seed} --threads {threads} > {log} 2>&1"

"""Quality of the masks, against true masks that no other rule reads."""

from cacl.phantom.settings import BRUSH_BORDER_SETTINGS

# Synthetic images say nothing about the user's own.
EXTERNAL_SETTINGS = BRUSH_BORDER_SETTINGS if source.kind == "phantom" else ()


rule synthesise_external:
    """Write and tile synthetic images that no model is trained on."""
    output:
        tiles="results/benchmark/external/{setting}/tiles.parquet",
    log:
        "logs/synthesise_external/{setting}.log",
    benchmark:
        "logs/benchmarks/synthesise_external/{setting}.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=(STEP_VERSIONS["phantom"], STEP_VERSIONS["tile"]),
        phantom="--antibodies 16 --patients 1",
        tiles=settings.tiles.cli_args(),
        seed=settings.cli_args("seed"),
        out=subpath(output.tiles, parent=True),
    message:
        "Writing the external test set {wildcards.setting}"
    shell:
        "cacl benchmark-data --setting {wildcards.setting} {params.phantom} "
        "--out {params.out} {params.tiles} {params.seed} --jobs {threads} > {log} 2>&1"


rule train_paper:
    """Train the paper's preset on the same tiles: the reference."""
    input:
        tiles="results/training/tiles.parquet",
    output:
        checkpoint="results/benchmark/paper/checkpoint.safetensors",
    log:
        "logs/train_paper.log",
    benchmark:
        "logs/benchmarks/train_paper.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=(STEP_VERSIONS["train"], MODEL_VERSION),
        limits=settings.train.cli_args("max_steps", "max_minutes"),
        preset=preset_digest(PAPER.name),
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        out=subpath(output.checkpoint, parent=True),
    message:
        "Training the paper's preset"
    shell:
        "cacl train --tiles {input.tiles} --store {params.store} --out {params.out} "
        "--preset paper {params.limits} {params.seed} --threads {threads} > {log} 2>&1"


rule train_classifier:
    """Train the image-wise classifier that the CAM methods explain."""
    input:
        tiles="results/training/tiles.parquet",
    output:
        weights="results/benchmark/classifier/classifier.safetensors",
    log:
        "logs/train_classifier.log",
    benchmark:
        "logs/benchmarks/train_classifier.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=STEP_VERSIONS["train_classifier"],
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        out=subpath(output.weights, parent=True),
    message:
        "Training the classifier of the CAM methods"
    shell:
        "cacl train-classifier --tiles {input.tiles} --store {params.store} "
        "--out {params.out} {params.seed} --threads {threads} > {log} 2>&1"


# With a model of another run nothing is trained, and all labelled antibodies may be test ones.
TRAINED_BASELINES, BASELINE_OPTIONS = [], ""
if settings.train.model is None:
    TRAINED_BASELINES = [
        rules.train_paper.output.checkpoint,
        rules.train_classifier.output.weights,
    ]
    BASELINE_OPTIONS = (
        "--paper results/benchmark/paper --classifier results/benchmark/classifier"
    )


rule benchmark:
    """Compare the model and the baselines on test antibodies, as in the paper's Table 1."""
    input:
        tiles="results/training/tiles.parquet",
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
        baselines=TRAINED_BASELINES,
        external=expand(
            rules.synthesise_external.output.tiles, setting=EXTERNAL_SETTINGS
        ),
        truth=true_masks,
    output:
        table=report(
            BENCHMARK_TABLE,
            caption="../report/benchmark.rst",
            category="Benchmark",
            labels={"table": "methods"},
        ),
        antibodies="results/benchmark/antibodies.parquet",
        html=report(
            "results/benchmark/table.html",
            caption="../report/benchmark.rst",
            category="Benchmark",
            labels={"table": "methods, with tiles"},
        ),
    log:
        "logs/benchmark.log",
    benchmark:
        "logs/benchmarks/benchmark.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=STEP_VERSIONS["benchmark"],
        store="results/atlas.zarr",
        model=subpath(input.checkpoint, parent=True),
        baselines=BASELINE_OPTIONS,
        external=expand(
            "--external results/benchmark/external/{setting}",
            setting=EXTERNAL_SETTINGS,
        ),
        truth=literally(truth_option()),
        truth_digest=truth_digest,
        out=subpath(output.table, parent=True),
        segment=settings.segment.cli_args(),
        seed=settings.cli_args("seed"),
    message:
        "Comparing methods"
    shell:
        "cacl benchmark --tiles {input.tiles} --store {params.store} "
        "--model {params.model} {params.truth} {params.external} "
        "{params.baselines} --out {params.out} "
        "{params.segment} {params.seed} --threads {threads} > {log} 2>&1"

"""How good the masks are, against truth that no other rule reads."""

from cacl.phantom.settings import BRUSH_BORDER_SETTINGS


rule unseen:
    """Draw and tile a synthetic atlas that nothing is trained on."""
    output:
        tiles="results/benchmark/unseen/{setting}/tested.parquet",
    log:
        "logs/unseen/{setting}.log",
    benchmark:
        "logs/benchmarks/unseen/{setting}.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        tiles=flags(settings["tiles"]),
        out=subpath(output.tiles, parent=True),
        seed=settings["seed"],
    message:
        "Drawing an atlas to test on: {wildcards.setting}"
    shell:
        "cacl unseen --setting {wildcards.setting} --out {params.out} {params.tiles} "
        "--seed {params.seed} --jobs {threads} > {log} 2>&1"


rule paper:
    """Train the paper's preset on the same tiles: the reference."""
    input:
        "results/training/tiles.parquet",
    output:
        checkpoint="results/benchmark/paper/checkpoint.safetensors",
    log:
        "logs/paper.log",
    benchmark:
        "logs/benchmarks/paper.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        limits=some(settings["train"], "max_steps", "max_minutes"),
        store="results/atlas.zarr",
        out=subpath(output.checkpoint, parent=True),
        seed=settings["seed"],
    message:
        "Training the paper's preset"
    shell:
        "cacl train --tiles {input} --store {params.store} --out {params.out} --preset paper "
        "{params.limits} --seed {params.seed} --threads {threads} > {log} 2>&1"


rule classifier:
    """Train the image-wise classifier that CAM and its kin explain."""
    input:
        "results/training/tiles.parquet",
    output:
        weights="results/benchmark/classifier/classifier.safetensors",
    log:
        "logs/classifier.log",
    benchmark:
        "logs/benchmarks/classifier.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        store="results/atlas.zarr",
        out=subpath(output.weights, parent=True),
        seed=settings["seed"],
    message:
        "Training the classifier behind CAM"
    shell:
        "cacl classifier --tiles {input} --store {params.store} --out {params.out} "
        "--seed {params.seed} --threads {threads} > {log} 2>&1"


rule benchmark:
    """Compare the model and the baselines on test antibodies, as in the paper's Table 1."""
    input:
        tiles="results/training/tiles.parquet",
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
        paper=rules.paper.output.checkpoint,
        classifier=rules.classifier.output.weights,
        unseen=expand(rules.unseen.output.tiles, setting=BRUSH_BORDER_SETTINGS),
    output:
        table=report(
            "results/benchmark/table.csv",
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
        store="results/atlas.zarr",
        model=subpath(input.checkpoint, parent=True),
        paper=subpath(input.paper, parent=True),
        classifier=subpath(input.classifier, parent=True),
        unseen=expand(
            "--unseen results/benchmark/unseen/{setting}", setting=BRUSH_BORDER_SETTINGS
        ),
        truth=PHANTOM_TRUTH,
        out=subpath(output.table, parent=True),
        segment=flags(settings["segment"]),
        seed=settings["seed"],
    message:
        "Comparing methods"
    shell:
        "cacl benchmark --tiles {input.tiles} --store {params.store} --model {params.model} "
        "--truth {params.truth} {params.unseen} --paper {params.paper} "
        "--classifier {params.classifier} --out {params.out} {params.segment} "
        "--seed {params.seed} --threads {threads} > {log} 2>&1"

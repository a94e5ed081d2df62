"""How good the masks are, against truth that no other rule reads."""


rule benchmark:
    """Compare the model and the baselines on test antibodies, as in the paper's Table 1."""
    input:
        tiles="results/training/tiles.parquet",
        segmented=per_shard("results/segmented/{shard}.parquet"),
        census=per_shard("results/census/{shard}.parquet"),
        checkpoint="results/model/checkpoint.safetensors",
    output:
        table=report(
            "results/benchmark/table.csv",
            caption="../report/benchmark.rst",
            category="Benchmark",
            labels={"table": "methods"},
        ),
        html="results/benchmark/table.html",
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
        truth=PHANTOM_TRUTH,
        out=subpath(output.table, parent=True),
        seed=settings["seed"],
    message:
        "Comparing methods"
    shell:
        "cacl benchmark --tiles {input.tiles} $(printf -- '--census %s ' {input.census}) "
        "--store {params.store} --model {params.model} --truth {params.truth} "
        "--out {params.out} --seed {params.seed} > {log} 2>&1"

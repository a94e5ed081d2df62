"""From a model to the census: masks, measures, report."""


rule segment:
    """Write the stain mask of every image of a shard.

    It follows the list of tables, after which it is known whether the model is trained again.
    """
    input:
        tiles="results/tiles/{shard}.parquet",
        listed=ancient(rules.list_tile_tables.output.list),
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
    output:
        segmented="results/segmented/{shard}.parquet",
        failures="results/failures/segment/{shard}.csv",
        attempt=update(f"{ATTEMPTS}/segment/{{shard}}.json"),
    log:
        "logs/segment/{shard}.log",
    benchmark:
        "logs/benchmarks/segment/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        version=STEP_VERSIONS["segment"],
        segment=settings.segment.cli_args(),
        store="results/atlas.zarr",
        model=subpath(input.checkpoint, parent=True),
        attempt=attempt("segment"),
    message:
        "Segmenting shard {wildcards.shard}"
    shell:
        "cacl segment --tiles {input.tiles} --store {params.store} --model {params.model} "
        "--out {output.segmented} --failures {output.failures} {params.segment} "
        "--threads {threads} --attempt {params.attempt} --attempt-record {output.attempt} "
        "> {log} 2>&1"


rule measure:
    """Measure a shard's masks: one row per image."""
    input:
        segmented="results/segmented/{shard}.parquet",
        images=ancient("results/catalog/shards/{shard}.parquet"),
        annotations=ancient("results/catalog/annotations/{shard}.parquet"),
        tiles="results/tiles/{shard}.parquet",
    output:
        census="results/census/{shard}.parquet",
        classes="results/classes/{shard}.parquet",
        failures="results/failures/measure/{shard}.csv",
        attempt=update(f"{ATTEMPTS}/measure/{{shard}}.json"),
    log:
        "logs/measure/{shard}.log",
    benchmark:
        "logs/benchmarks/measure/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        version=STEP_VERSIONS["measure"],
        cell_type=literally(labels.cli_args("cell_type")),
        min_tissue_fraction=settings.tiles.cli_args("min_tissue_fraction"),
        store="results/atlas.zarr",
        input_digest=batch_digest(
            "results/catalog/shards/{shard}.parquet",
            "results/catalog/annotations/{shard}.parquet",
        ),
        attempt=attempt("measure"),
    message:
        "Measuring shard {wildcards.shard}"
    shell:
        "cacl measure --segmented {input.segmented} --images {input.images} "
        "--annotations {input.annotations} --tiles {input.tiles} --store {params.store} "
        "--out {output.census} --classes-table {output.classes} "
        "--failures {output.failures} {params.cell_type} {params.min_tissue_fraction} "
        "--jobs {threads} --attempt {params.attempt} --attempt-record {output.attempt} "
        "> {log} 2>&1"


rule report:
    """Aggregate the census and write the tables and the report."""
    input:
        census=per_shard("results/census/{shard}.parquet"),
        classes=per_shard("results/classes/{shard}.parquet"),
        catalog_failures=ancient(CATALOG_FAILURES),
        failures=failure_tables("acquire", "tile", "segment", "measure"),
        controls="results/controls/controls.parquet",
        control_tables=expand(
            "results/controls/{name}.parquet", name=["cores", "limits"]
        ),
        controls_failures=rules.controls.output.failures,
        images=ancient("results/catalog/images.parquet"),
        curves="results/model/training.csv",
    output:
        html="results/report/report.html",
        assets=directory("results/report/assets"),
        pictures=directory("results/report/images"),
        figures=report(
            directory("results/report/figures"),
            htmlindex="index.html",
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "ratios, q, annotation, training"},
        ),
        methods=report(
            "results/report/methods.md",
            caption="../report/methods.rst",
            category="Methods",
            labels={"text": "methods"},
        ),
        columns=report(
            "results/report/columns.md",
            caption="../report/columns.rst",
            category="Methods",
            labels={"text": "data dictionary"},
        ),
        package="results/report/datapackage.json",
        sums="results/report/SHA256SUMS",
        parquet=expand(
            "results/report/{name}.parquet",
            name=[
                "images",
                "classes",
                "antibodies",
                "genes",
                "disagreements",
                "review",
                "agreement",
                "controls",
                "limits",
                "failures",
            ],
        ),
        disagreements=report(
            "results/report/disagreements.csv",
            caption="../report/disagreements.rst",
            category="Agreement",
            labels={"table": "disagreements"},
        ),
        review=report(
            "results/report/review.csv",
            caption="../report/review.rst",
            category="Agreement",
            labels={"table": "cores to review"},
        ),
        agreement=report(
            "results/report/agreement.csv",
            caption="../report/agreement.rst",
            category="Agreement",
            labels={"table": "agreement"},
        ),
        images=report(
            "results/report/images.csv",
            caption="../report/images.rst",
            category="Census",
            labels={"table": "images"},
        ),
        classes=report(
            "results/report/classes.csv",
            caption="../report/classes.rst",
            category="Census",
            labels={"table": "classes"},
        ),
        antibodies=report(
            "results/report/antibodies.csv",
            caption="../report/antibodies.rst",
            category="Census",
            labels={"table": "antibodies"},
        ),
        genes=report(
            "results/report/genes.csv",
            caption="../report/genes.rst",
            category="Census",
            labels={"table": "genes"},
        ),
        failures=report(
            "results/report/failures.csv",
            caption="../report/failures.rst",
            category="Census",
            labels={"table": "failures"},
        ),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=__version__,
        store="results/atlas.zarr",
        model=subpath(input.curves, parent=True),
        catalog=subpath(input.images, parent=True),
        out=subpath(output.html, parent=True),
        cell_type=literally(labels.cli_args("cell_type")),
        min_tissue_fraction=settings.tiles.cli_args("min_tissue_fraction"),
        segment=settings.segment.cli_args(),
        seed=settings.cli_args("seed"),
        benchmark=benchmark_option(),
        benchmark_digest=file_digest(Path(BENCHMARK_TABLE)),
        input_digest=digest_of_all(["results/catalog/images.parquet", CATALOG_FAILURES]),
        attempts=ATTEMPTS,
        controls=subpath(input.controls, parent=True),
        reused_model=literally(reused_model_option()),
    message:
        "Writing the report"
    shell:
        "cacl report $(printf -- '--census %s ' {input.census}) "
        "$(printf -- '--classes-table %s ' {input.classes}) "
        "$(printf -- '--failures %s ' {input.catalog_failures} {input.failures} {input.controls_failures}) --store {params.store} "
        "--model {params.model} --catalog {params.catalog} --out {params.out} "
        "{params.cell_type} {params.min_tissue_fraction} {params.segment} "
        "--controls {params.controls} {params.benchmark} {params.seed} --attempts {params.attempts} "
        "{params.reused_model} --jobs {threads} "
        "> {log} 2>&1"

"""From a source to tiles in the store."""


rule phantom:
    """Write synthetic images, laid out as the Human Protein Atlas's host."""
    output:
        done=touch("resources/phantom/done"),
    log:
        "logs/phantom.log",
    benchmark:
        "logs/benchmarks/phantom.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=STEP_VERSIONS["phantom"],
        phantom=settings.phantom.cli_args(),
        seed=settings.cli_args("seed"),
        host=PHANTOM_HOST,
        truth=PHANTOM_TRUTH,
    message:
        "Writing the synthetic images"
    shell:
        "cacl phantom --host {params.host} --truth {params.truth} {params.phantom} "
        "{params.seed} --jobs {threads} > {log} 2>&1"


checkpoint catalog:
    """List images, annotation and labels, also by shard.

    It is a checkpoint so that Snakemake looks again which lists have changed; all jobs are known
    before it runs.
    """
    input:
        files=catalog_inputs,
    output:
        images=update("results/catalog/images.parquet"),
        annotations=update("results/catalog/annotations.parquet"),
        image_lists=update(per_shard("results/catalog/shards/{shard}.parquet")),
        annotation_lists=update(
            per_shard("results/catalog/annotations/{shard}.parquet")
        ),
        failures=CATALOG_FAILURES,
        attempt=update(f"{ATTEMPTS}/catalog/all.json"),
    log:
        "logs/catalog.log",
    benchmark:
        "logs/benchmarks/catalog.tsv"
    conda:
        "../../environment.yml"
    resources:
        # A resource, not a parameter: it changes no data, so its change runs no job again.
        http_options=source.cli_args("requests_per_second"),
    params:
        version=STEP_VERSIONS["catalog"],
        source=literally(
            source.cli_args(
                "kind",
                "hpa_version",
                "genes",
                "antibodies",
                "tissues",
                "mirror",
                "manifest",
                "allowed_hosts",
                "host",
            )
        ),
        labels=literally(
            labels.cli_args(
                "cell_type", "positive", "negative", "overrides", "classes"
            )
        ),
        census=settings.census.cli_args(),
        out=subpath(output.images, parent=True),
        lists_digest=digest_of_all(user_lists()),
        annotation_digest=annotation_digest,
        attempt=attempt("catalog"),
    message:
        "Reading the catalog"
    shell:
        "cacl catalog --out {params.out} --failures {output.failures} "
        "--downloads resources {params.source} {params.labels} {params.census} "
        "{resources.http_options} --attempt {params.attempt} --attempt-record {output.attempt} "
        "> {log} 2>&1"


rule acquire:
    """Download or link a shard's images and verify them; verified images are kept."""
    input:
        images=ancient("results/catalog/shards/{shard}.parquet"),
    output:
        acquired="results/acquired/{shard}.parquet",
        failures="results/failures/acquire/{shard}.csv",
        attempt=update(f"{ATTEMPTS}/acquire/{{shard}}.json"),
    log:
        "logs/acquire/{shard}.log",
    benchmark:
        "logs/benchmarks/acquire/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        hpa_client=1,
        # A resource, not a parameter: it changes no data, so its change runs no job again.
        http_options=source.cli_args("requests_per_second", "max_minutes"),
    params:
        source=literally(
            source.cli_args("kind", "hpa_version", "mirror", "allowed_hosts", "host")
        ),
        folder="resources/images",
        input_digest=batch_digest(
            "results/catalog/shards/{shard}.parquet", columns=SOURCE_COLUMNS
        ),
        synthetic_settings=SYNTHETIC_SETTINGS,
        attempt=attempt("acquire"),
    message:
        "Acquiring the images of shard {wildcards.shard}"
    shell:
        "cacl acquire --shard {input.images} --images {params.folder} "
        "--out {output.acquired} --failures {output.failures} {params.source} "
        "{resources.http_options} --jobs 4 --attempt {params.attempt} "
        "--attempt-record {output.attempt} > {log} 2>&1"


rule estimate_stain:
    """Estimate the run's stain vectors from a sample of its images (`stain.vectors: estimated`)."""
    input:
        acquired=estimate_inputs(),
    output:
        vectors=ESTIMATE,
    log:
        "logs/estimate_stain.log",
    benchmark:
        "logs/benchmarks/estimate_stain.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        version=STEP_VERSIONS["estimate_stain"],
        tiles=settings.tiles.cli_args("source_px", "tile_px"),
        seed=settings.cli_args("seed"),
    message:
        "Estimating the stain vectors"
    shell:
        "cacl estimate-stain $(printf -- '--acquired %s ' {input.acquired}) "
        "--out {output.vectors} {params.tiles} {params.seed} --jobs {threads} > {log} 2>&1"


rule tile:
    """Write a shard's images as tiles into the store; stored images are kept."""
    input:
        acquired="results/acquired/{shard}.parquet",
        estimate=[ESTIMATE] if settings.stain.vectors == ESTIMATED else [],
    output:
        tiles="results/tiles/{shard}.parquet",
        failures="results/failures/tile/{shard}.csv",
        attempt=update(f"{ATTEMPTS}/tile/{{shard}}.json"),
    log:
        "logs/tile/{shard}.log",
    benchmark:
        "logs/benchmarks/tile/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        version=STEP_VERSIONS["tile"],
        tiles=settings.tiles.cli_args(),
        stain=literally(settings.stain.cli_args()),
        estimate=estimate_option(),
        store="results/atlas.zarr",
        attempt=attempt("tile"),
    message:
        "Tiling shard {wildcards.shard}"
    shell:
        "cacl tile --acquired {input.acquired} --store {params.store} "
        "--out {output.tiles} --failures {output.failures} {params.tiles} "
        "{params.stain} {params.estimate} --jobs {threads} --attempt {params.attempt} --attempt-record {output.attempt} "
        "> {log} 2>&1"


checkpoint list_tile_tables:
    """List the tables of tiles, and the digest of their content; see `select`.

    It is a checkpoint so that Snakemake decides only after it whether the model is trained again:
    a step that was repeated and wrote the same tables changes no model.
    """
    input:
        tables=per_shard("results/tiles/{shard}.parquet"),
    output:
        list="results/tiles/tables.txt",
    log:
        "logs/list_tile_tables.log",
    benchmark:
        "logs/benchmarks/list_tile_tables.tsv"
    conda:
        "../../environment.yml"
    params:
        input_digest=digest_of_all(per_shard("results/tiles/{shard}.parquet")),
    message:
        "Listing the tables of tiles"
    shell:
        "printf '%s\\n' {input.tables} '# sha256 {params.input_digest}' > {output.list} 2> {log}"

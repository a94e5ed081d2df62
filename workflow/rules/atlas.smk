"""From a source to tiles in the store."""


rule phantom:
    """Draw a synthetic atlas, laid out as the Human Protein Atlas's host."""
    output:
        touch("resources/phantom/done"),
    log:
        "logs/phantom.log",
    benchmark:
        "logs/benchmarks/phantom.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        size=flags(settings["phantom"]),
        seed=settings["seed"],
        host=PHANTOM_HOST,
        truth=PHANTOM_TRUTH,
    message:
        "Drawing the synthetic atlas"
    shell:
        "cacl phantom --host {params.host} --truth {params.truth} {params.size} "
        "--seed {params.seed} --jobs {threads} > {log} 2>&1"


checkpoint catalog:
    """List images, annotation and labels, also by shard.

    A checkpoint only so that Snakemake looks again which lists have changed; all jobs are known
    before it runs.
    """
    input:
        catalog_inputs(),
    output:
        images=update("results/catalog/images.parquet"),
        annotations=update("results/catalog/annotations.parquet"),
        shards=update(per_shard("results/catalog/shards/{shard}.parquet")),
        words=update(per_shard("results/catalog/annotations/{shard}.parquet")),
        failures="results/failures/catalog.csv",
    log:
        "logs/catalog.log",
    benchmark:
        "logs/benchmarks/catalog.tsv"
    conda:
        "../../environment.yml"
    resources:
        asking=some(source, "requests_per_second"),
    params:
        source=some(
            source,
            "kind",
            "hpa_version",
            "genes",
            "antibodies",
            "tissues",
            "mirror",
            "manifest",
            "allowed_hosts",
        ),
        labels=flags(labels),
        census=flags(settings["census"]),
        out=subpath(output.images, parent=True),
    message:
        "Reading the catalog"
    shell:
        "cacl catalog --out {params.out} --failures {output.failures} "
        "--downloads resources "
        "{params.source} {params.labels} {params.census} {resources.asking} > {log} 2>&1"


rule acquire:
    """Fetch and verify a shard's images; what is at hand is not fetched again."""
    input:
        ancient("results/catalog/shards/{shard}.parquet"),
    output:
        acquired="results/acquired/{shard}.parquet",
        failures="results/failures/acquire/{shard}.csv",
    log:
        "logs/acquire/{shard}.log",
    benchmark:
        "logs/benchmarks/acquire/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        hpa_client=1,
        # How the host is asked changes no data, so it is no parameter to run again for.
        asking=some(source, "requests_per_second", "max_minutes"),
    params:
        source=some(
            source,
            "kind",
            "hpa_version",
            "mirror",
            "allowed_hosts",
        ),
        images="resources/images",
        listed=content("results/catalog/shards/{shard}.parquet", columns=SOURCE_COLUMNS),
        drawn=DRAWN,
    message:
        "Acquiring the images of shard {wildcards.shard}"
    shell:
        "cacl acquire --shard {input} --images {params.images} --out {output.acquired} "
        "--failures {output.failures} {params.source} {resources.asking} --jobs 4 > {log} 2>&1"


rule tile:
    """Cut a shard's images into the tiles of the store."""
    input:
        "results/acquired/{shard}.parquet",
    output:
        tiles="results/tiles/{shard}.parquet",
        failures="results/failures/tile/{shard}.csv",
    log:
        "logs/tile/{shard}.log",
    benchmark:
        "logs/benchmarks/tile/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        tiles=flags(settings["tiles"]),
        store="results/atlas.zarr",
    message:
        "Tiling shard {wildcards.shard}"
    shell:
        "cacl tile --acquired {input} --store {params.store} --out {output.tiles} "
        "--failures {output.failures} {params.tiles} --jobs {threads} > {log} 2>&1"

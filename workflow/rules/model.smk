"""From tiles to a trained model."""


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


rule select:
    """Choose the tiles for training and test, split by antibody.

    It depends on the list of tables, not on the tables: their number, the number of shards, changes
    no model.
    """
    input:
        images=training_inputs("results/catalog/images.parquet"),
        tables=training_inputs(rules.list_tile_tables.output.list),
        overrides=as_inputs(override_files()),
    output:
        tiles="results/training/tiles.parquet",
        config=TRAINING_CONFIG,
    log:
        "logs/select.log",
    benchmark:
        "logs/benchmarks/select.tsv"
    conda:
        "../../environment.yml"
    params:
        min_tissue_fraction=settings.tiles.cli_args("min_tissue_fraction"),
        labels=literally(labels.cli_args("overrides", "drawn")),
        max_tiles=settings.train.cli_args("max_tiles"),
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        drawings=drawings,
        training_settings=literally(training_settings(settings)),
        images_digest=digest_with_manifest("results/catalog/images.parquet"),
        tables_digest=digest_with_manifest("results/tiles/tables.txt"),
    message:
        "Selecting tiles"
    shell:
        "cacl select --images {input.images} $(sed '/^#/d; s/^/--tiles /' {input.tables}) "
        "--store {params.store} --out {output.tiles} {params.min_tissue_fraction} {params.labels} "
        "{params.max_tiles} {params.seed} > {log} 2>&1 && "
        "printf '%s' {params.training_settings:q} > {output.config}"


rule train:
    """Train CaCL from labels of images, and of pixels that the user drew; no mask is read."""
    input:
        tiles="results/training/tiles.parquet",
    output:
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
        curves="results/model/training.csv",
    log:
        "logs/train.log",
    benchmark:
        "logs/benchmarks/train.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        train=settings.train.cli_args("preset", "seeds", "max_steps", "max_minutes"),
        labels=literally(labels.cli_args("classes", "drawn")),
        drawings=drawings,
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        out=subpath(output.checkpoint, parent=True),
    message:
        "Training the model"
    shell:
        "cacl train --tiles {input.tiles} --store {params.store} --out {params.out} "
        "{params.train} {params.labels} {params.seed} --threads {threads} > {log} 2>&1"

"""A model of another run (`train.model`), in the place of `model.smk`."""


localrules:
    reuse_model,


rule reuse_model:
    """Check the model of another run and copy it, in the place of training."""
    output:
        checkpoint="results/model/checkpoint.safetensors",
        description="results/model/model.json",
        curves="results/model/training.csv",
    log:
        "logs/reuse_model.log",
    benchmark:
        "logs/benchmarks/reuse_model.tsv"
    conda:
        "../../environment.yml"
    params:
        version=MODEL_VERSION,
        model=literally(settings.train.cli_args("model")),
        model_digest=earlier_model,
        classes=literally(labels.cli_args("classes")),
        out=subpath(output.checkpoint, parent=True),
    message:
        "Copying the model of another run"
    shell:
        "cacl reuse-model {params.model} {params.classes} --out {params.out} > {log} 2>&1"


rule select_test:
    """Choose the tiles for controls and benchmark: of antibodies that the model has not seen.

    It follows every change of the tables, since it trains nothing.
    """
    input:
        images=ancient("results/catalog/images.parquet"),
        tables=ancient(rules.list_tile_tables.output.list),
        overrides=as_inputs(override_files()),
        description="results/model/model.json",
    output:
        tiles="results/training/tiles.parquet",
    log:
        "logs/select_test.log",
    benchmark:
        "logs/benchmarks/select_test.tsv"
    conda:
        "../../environment.yml"
    params:
        version=STEP_VERSIONS["select"],
        min_tissue_fraction=settings.tiles.cli_args("min_tissue_fraction"),
        overrides=literally(labels.cli_args("overrides")),
        max_tiles=settings.train.cli_args("max_tiles"),
        seed=settings.cli_args("seed"),
        store="results/atlas.zarr",
        model=subpath(input.description, parent=True),
        images_digest=digest_of_all(["results/catalog/images.parquet"]),
        tables_digest=digest_of_all(["results/tiles/tables.txt"]),
        overrides_digest=digest_of_all(override_files()),
    message:
        "Selecting the test tiles"
    shell:
        "cacl select --images {input.images} "
        "$(sed '/^#/d; s/^/--tiles /' {input.tables}) --store {params.store} "
        "--model {params.model} --out {output.tiles} {params.min_tissue_fraction} "
        "{params.overrides} {params.max_tiles} {params.seed} > {log} 2>&1"

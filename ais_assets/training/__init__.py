"""An example to copy: a small GRU that forecasts where a ship will be, beside dead reckoning.

    python -m ais_assets.training --lake data/lake
    torchrun --nproc-per-node 4 -m ais_assets.training --lake s3://bucket/prefix

forecast.py: what is seen and what is to be forecast; model.py: the network; checkpoint.py: stopping and going on;
trainer.py: the loop; __main__.py: the command.
"""

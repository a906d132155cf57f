"""The chorus baked into one model: collect its debates, warm a model up on them, distil the protocol, reinforce, export.

    questions --collect--> records, rows, cast --sft--> weights --bake--> weights --rl--> weights --export--> checkpoint

Each step has a folder of its own under `OUT`, which holds all that it made and `run.json`, which says how. A step reads
the folders of the steps before it and nothing else, goes on where it was killed, and does nothing when it is done.
Importing this package, its rows, rewards and recipes never imports torch; the trainers are TRL's.
"""

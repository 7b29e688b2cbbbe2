"""Progressive LoRA healing: early layers become searchable, and one set of weights serves every exit.

Source: Reminisce, P-LoRA.
"""

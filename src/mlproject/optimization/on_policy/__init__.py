"""On-policy methods: the policy samples responses, and gradient steps make those likelier that the proxy likes.

All of them share one loop (`loop`), its rollouts (`rollouts`, `shards`), its gradient steps (`update`) and its options
(`config`). A method is an `Objective`: what it makes of the scores, and its loss. Options are in a module of their own
(`ppo_config`), free of torch, so that the command line can show them at once.
"""

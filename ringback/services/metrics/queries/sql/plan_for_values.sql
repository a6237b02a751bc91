-- For the rest of this transaction: plan each statement for its values.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true)

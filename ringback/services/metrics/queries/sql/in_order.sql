-- For the rest of this transaction: read an index in its order, stop when there are enough rows, and
-- prefer the index with fewer rows. Otherwise the planner assumes that all organisations have the
-- same size, and reads and sorts every row of a large one. Plan once per connection: planning over
-- all day partitions is slow, and the plan does not depend on the values.
SELECT set_config('enable_sort', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('random_page_cost', '0', true),
       set_config('seq_page_cost', '0', true),
       set_config('plan_cache_mode', 'force_generic_plan', true)

-- For the rest of this transaction: read an index in its order and stop when there are enough rows,
-- and of two indexes use the one with fewer rows, however few pages the other has. The planner
-- assumes an average size for every organisation; for a large one it would read and sort
-- everything. The plan is the same for all values, so it is made once per connection, not over all
-- days each time.
SELECT set_config('enable_sort', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('random_page_cost', '0', true),
       set_config('seq_page_cost', '0', true),
       set_config('plan_cache_mode', 'force_generic_plan', true)

-- For the rest of this transaction: read an index in its order and stop when there is enough, and of
-- two indexes take that with fewer rows, however few pages the other has. What an organisation has is
-- guessed as an average; of a large one everything would be read and sorted. The plan is the same for
-- all values, so it is made once per connection and not over all days each time.
SELECT set_config('enable_sort', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('random_page_cost', '0', true),
       set_config('seq_page_cost', '0', true),
       set_config('plan_cache_mode', 'force_generic_plan', true)

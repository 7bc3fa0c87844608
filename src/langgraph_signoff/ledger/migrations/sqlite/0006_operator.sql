-- What the operator asks for: whom a ticket waits for, who has it in hand, since when nothing happens, when it was decided.
ALTER TABLE standings ADD COLUMN asked TEXT NOT NULL DEFAULT '';
ALTER TABLE standings ADD COLUMN in_hand TEXT NOT NULL DEFAULT '';
ALTER TABLE standings ADD COLUMN idle_since TEXT;
ALTER TABLE standings ADD COLUMN word_at TEXT;

-- The newest ruling of a ticket says whom it asks, and the level that it has reached, to whom it has come since.
UPDATE standings SET asked = coalesce((
    SELECT json_object('panels', json(panels), 'reviewers', json(reviewers), 'to', (
        SELECT json_group_array(json(json_extract(step.value, '$.to'))) FROM json_each(escalations) step WHERE step.key < coalesce((
            SELECT json_extract(body, '$.level') FROM entries
            WHERE stream = standings.id AND kind = 'escalated' ORDER BY seq DESC LIMIT 1
        ), 0)
    )) FROM (
        SELECT coalesce(json_extract(body, '$.ruling.requirements.panels'), '[]') AS panels,
               coalesce(json_extract(body, '$.ruling.requirements.reviewers'), '[]') AS reviewers,
               coalesce(json_extract(body, '$.ruling.requirements.escalations'), '[]') AS escalations
        FROM entries WHERE stream = standings.id AND json_type(body, '$.ruling') = 'object' ORDER BY seq DESC LIMIT 1
    ) WHERE panels <> '[]' OR reviewers <> '[]'
), '');

UPDATE standings SET word_at = (
    SELECT max(at) FROM entries WHERE stream = id
    AND (kind IN ('expired', 'unreviewed') OR kind = 'decided' AND json_extract(body, '$.verdict') <> 'comment')
);

-- What is put back is in nobody's hand; who has taken a ticket has it until their word, who was assigned it for good.
UPDATE standings SET in_hand = coalesce((
    SELECT CASE held.kind
        WHEN 'assigned' THEN json_extract(held.body, '$.to')
        WHEN 'taken' THEN json_extract(held.body, '$.by')
        END
    FROM entries held WHERE held.stream = id AND held.kind IN ('taken', 'assigned', 'put_back') ORDER BY held.seq DESC LIMIT 1
), '') WHERE standing IN ('pending', 'in_doubt', 'under_audit');

UPDATE standings SET in_hand = '' WHERE in_hand <> '' AND EXISTS (
    SELECT 1 FROM entries said WHERE said.stream = id AND said.kind = 'decided'
    AND json_extract(said.body, '$.by') = in_hand AND json_extract(said.body, '$.verdict') <> 'comment'
    AND said.seq > (
        SELECT max(seq) FROM entries held WHERE held.stream = id AND held.kind IN ('taken', 'assigned', 'put_back')
    )
) AND coalesce((
    SELECT kind FROM entries given WHERE given.stream = id AND given.kind IN ('assigned', 'put_back') ORDER BY seq DESC LIMIT 1
), '') <> 'assigned';

UPDATE standings SET idle_since = (
    SELECT max(at) FROM entries WHERE stream = id AND kind NOT IN ('reminded', 'escalated')
)
WHERE in_hand <> '' OR standing = 'approved' AND reviewed = 1;

-- One index for what stands so, whatever it is, in place of one for each standing.
DROP INDEX standings_pending;
DROP INDEX standings_pending_by_queue;
DROP INDEX standings_in_doubt;
DROP INDEX standings_under_audit;
CREATE INDEX standings_by_standing ON standings (standing, priority DESC, due_at, id);
CREATE INDEX standings_by_queue ON standings (queue, standing, priority DESC, due_at, id);
CREATE INDEX standings_by_tool ON standings (tool, standing, priority DESC, due_at, id)
    WHERE standing = 'pending' OR standing = 'in_doubt' OR standing = 'under_audit';
CREATE INDEX standings_by_asked ON standings (asked, standing, priority DESC, due_at, id)
    WHERE standing = 'pending' OR standing = 'in_doubt' OR standing = 'under_audit';
CREATE INDEX standings_in_hand ON standings (in_hand, standing, priority DESC, due_at, id) WHERE in_hand <> '';
CREATE INDEX standings_due ON standings (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX standings_idle ON standings (idle_since, id) WHERE idle_since IS NOT NULL;
CREATE INDEX standings_word ON standings (word_at, queue, standing, opened_at) WHERE word_at IS NOT NULL;

-- Who has said something, and when: of the entries the few that a person wrote.
CREATE INDEX entries_decided ON entries (at) WHERE kind = 'decided';

import type { ComponentChildren, VNode } from "preact";

/** A row: what stands in each column. The last one is for an action, and its column has no head. */
export interface Row {
  key: string;
  cells: ComponentChildren[];
}

/**
 * A table; in a narrow window, a block for each row. The roles are those that the elements have anyway: the
 * narrow form would take them away.
 */
export function Table({ label, heads, rows }: { label: string; heads: string[]; rows: Row[] }): VNode {
  return (
    <table role="table" aria-labelledby={label}>
      <thead role="rowgroup">
        <tr role="row">
          {heads.map((head) => (
            <th key={head} role="columnheader" scope="col">
              {head}
            </th>
          ))}
          <th role="columnheader" scope="col">
            <span class="hidden">Action</span>
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map(({ key, cells }) => (
          <tr key={key} role="row">
            {cells.map((cell, at) => (
              <td key={at} role="cell" data-head={heads[at]}>
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}


    # What only the program knows: ids of recordings, names of people and hosts.
    $typed = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.ToString() })
    if ($typed.Count -gt 0) {
        $found = @(& $typed[0] complete "--word=$wordToComplete" '--' $typed 2>$null)
        if ($LASTEXITCODE -eq 0) {
            $found | Where-Object { $_ } | ForEach-Object {
                $value, $help = $_ -split "`t", 2
                [CompletionResult]::new($value, $value, [CompletionResultType]::ParameterValue, $help)
            }
            return
        }
    }

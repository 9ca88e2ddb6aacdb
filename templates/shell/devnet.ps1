# devnet in PowerShell: `devnet use [PROFILE]` points this shell at a cluster's Docker engine and keeps
# it right when the cluster restarts; `devnet off` gives the shell back. Put into $PROFILE:
#   devnet hook pwsh | Out-String | Invoke-Expression
$global:_devnet_program = DEVNET_PROGRAM

function global:devnet {
    if ($args.Count -gt 0 -and $args[0] -cin 'use', 'off') {
        $rest = @($args | Select-Object -Skip 1)
        $script = & $global:_devnet_program $args[0] --shell pwsh @rest | Out-String
        if ($LASTEXITCODE -eq 0 -and $script) { Invoke-Expression $script }
    } elseif ($MyInvocation.ExpectingInput) {
        $input | & $global:_devnet_program @args
    } else {
        & $global:_devnet_program @args
    }
}

if (-not $global:_devnet_before) {
    $global:_devnet_before = $function:prompt
    function global:prompt {
        $code = $global:LASTEXITCODE
        if ($Env:DEVNET_USE) {
            $script = & $global:_devnet_program hook --prompt pwsh | Out-String
            if ($script) { Invoke-Expression $script }
        }
        $global:LASTEXITCODE = $code
        & $global:_devnet_before
    }
}
